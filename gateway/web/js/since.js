/** Since when a condition holds: read from the device's own history, a few questions at a time, each asked once. */

import { get } from "./api.js";
import { LIT_ABOVE_WATTS, isLit } from "./condition.js";

const LOOK_BACK = 48 * 3600_000;
const POINTS = 576;
const AGAIN_AFTER_FAILURE = 60_000;
/** Chosen: what a page shows at once; more questions would only load the gateway. */
const MOST_REMEMBERED = 500;

/**
 * The last bucket in which the opposite was seen, as { ms, beyond }: from `ms` on it holds without exception,
 * or (`beyond`) it held before the history begins. Null if there is no history.
 */
export function lastOpposite(series, isOpposite) {
  const { points, every_seconds: every } = series;
  if (points.length === 0) return null;
  for (let at = points.length - 1; at >= 0; at -= 1) {
    if (isOpposite(points[at])) return { ms: at + 1 < points.length ? points[at + 1][0] : points[at][0] + every * 1000, beyond: false };
  }
  // One bucket earlier it was so already: that makes it "more than", and a full two days two days.
  return { ms: points[0][0] - every * 1000, beyond: true };
}

/** A dark lamp is out since tonight's lighting time if it burned last night, not since this morning. */
export function darkSince(found, lastNight) {
  if (found === null || found.beyond) return found;
  const burnedLastNight = found.ms >= lastNight - 24 * 3600_000 && found.ms < lastNight;
  return burnedLastNight ? { ms: lastNight, beyond: false } : found;
}

/** A lamp burning by day does so wrongly since the day began, even if it was lit all night. */
export function burningSince(found, dayFrom) {
  return found !== null && found.ms < dayFrom ? { ms: dayFrom, beyond: false } : found;
}

export class SinceWhen {
  /** `found` is called when an answer came and the page should be drawn anew. */
  constructor(found) {
    this.found = found;
    this.known = new Map();
    this.waiting = [];
    this.busy = false;
  }

  /** What is known now of a lamp (`dark`, `failed`, `burning`) or of a flag (its property's name); asks if nothing is. */
  of(device, kind, fleet) {
    const key = `${device.device} ${kind}`;
    const known = this.known.get(key);
    if (known === undefined || (known.failedAt && Date.now() - known.failedAt > AGAIN_AFTER_FAILURE)) this.enquire(key, device, kind);
    const answer = this.known.get(key)?.answer ?? null;
    if (kind === "dark" || kind === "failed") return darkSince(answer, fleet.sky.lastNight);
    return kind === "burning" ? burningSince(answer, fleet.sky.since) : answer;
  }

  /** Forget what is over, so that the next time is looked up anew. */
  keepOnly(keys) {
    for (const key of this.known.keys()) if (!keys.has(key)) this.known.delete(key);
  }

  enquire(key, device, kind) {
    if (this.known.size >= MOST_REMEMBERED) return;
    this.known.set(key, { answer: null });
    this.waiting.push({ key, device, kind });
    this.work();
  }

  async work() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length > 0) {
      const { key, device, kind } = this.waiting.shift();
      try {
        this.known.set(key, { answer: await this.look(device, kind) });
      } catch {
        this.known.set(key, { answer: null, failedAt: Date.now() });
      }
      this.found();
    }
    this.busy = false;
  }

  async look(device, kind) {
    const lamp = ["dark", "failed", "burning"].includes(kind);
    const property = !lamp ? kind : "power" in device.v ? "power" : "lamp_on";
    const threshold = property === "power" ? LIT_ABOVE_WATTS : 0.5;
    const end = device.t + 1000;
    const [start, stop] = [end - LOOK_BACK, end].map((ms) => new Date(ms).toISOString());
    const series = await get("/series", { device: device.device, property, points: POINTS, start, stop });
    const wasHigh = (point) => point[3] > threshold;
    const wasLow = (point) => point[2] <= threshold;
    return lastOpposite(series, lamp && isLit(device) !== true ? wasHigh : wasLow);
  }
}
