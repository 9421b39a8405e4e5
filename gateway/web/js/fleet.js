/** The devices of the commune on screen, kept current by the live stream, and the clock they are judged by. */

import { condition, isCabinet, isLamp, speaksAsCabinet, trusted } from "./condition.js";
import { sky } from "./sun.js";

/** Chosen: so many lamps of a circuit, and this share of them lit, say that the circuit is switched on. */
const NEIGHBOURS = 3;
const LIT_SHARE = 2 / 3;

export class Fleet {
  /** `commune` is an item of /communes, `devices` the items of /devices. */
  constructor(commune, devices) {
    this.commune = commune;
    this.devices = new Map();
    this.ahead = 0;
    this.sky = null;
    this.conditions = new Map();
    this.cabinets = new Map();
    for (const device of devices) {
      const { state, last_seen: seen, ...known } = device;
      this.devices.set(device.device, { ...known, s: state, t: seen === null ? null : Date.parse(seen), v: {} });
    }
    this.centre = centreOf(commune, devices);
  }

  /** The gateway's clock, so that a wrongly set office computer still judges rightly. */
  now() {
    return performance.now() + performance.timeOrigin + this.ahead;
  }

  setClock(now) {
    this.ahead = now - (performance.now() + performance.timeOrigin);
  }

  /** Take in a snapshot or a change. Returns whether it speaks of devices this fleet does not know. */
  take(event) {
    if (event.now) this.setClock(Date.parse(event.now));
    let strangers = false;
    for (const [name, live] of Object.entries(event.devices)) {
      const device = this.devices.get(name);
      if (device === undefined) {
        strangers = true;
        continue;
      }
      device.s = live.s;
      device.t = live.t;
      Object.assign(device.v, live.v);
    }
    return strangers;
  }

  /** Judge every device anew; cheap enough (5,000 in a few milliseconds) to do for every picture. */
  judge() {
    const now = this.now();
    this.sky = this.centre === null ? null : sky(now, ...this.centre);
    this.cabinets.clear();
    for (const [name, device] of this.devices) {
      this.conditions.set(name, condition(device, now, this.sky));
      if (!device.group || !isCabinet(device) || !speaksAsCabinet(device)) continue;
      // A door contact may hang in the same cabinet: the one that meters speaks for the group.
      if (!this.cabinets.has(device.group) || cabinetPower(device) !== null) this.cabinets.set(device.group, device);
    }
    if (this.sky !== null && !this.sky.night && !this.sky.day) this.judgeByNeighbours(now);
  }

  /** At dusk and dawn the sun does not tell whether lamps ought to burn; the other lamps of their circuit do. */
  judgeByNeighbours(now) {
    for (const group of this.groups().values()) {
      const lamps = group.filter((device) => isLamp(device) && this.speaks(device));
      const lit = lamps.filter((device) => this.conditionOf(device) === "lit").length;
      if (lamps.length < NEIGHBOURS || lit < lamps.length * LIT_SHARE) continue;
      for (const lamp of lamps) {
        if (this.conditionOf(lamp) === "ok") this.conditions.set(lamp.device, condition(lamp, now, { ...this.sky, night: true }));
      }
    }
  }

  conditionOf(device) {
    return this.conditions.get(device.device) ?? "ok";
  }

  /** Devices by group; those without one are not in it. */
  groups() {
    const groups = new Map();
    for (const device of this.devices.values()) {
      if (!device.group) continue;
      if (groups.has(device.group)) groups.get(device.group).push(device);
      else groups.set(device.group, [device]);
    }
    return groups;
  }

  /** The cabinet that stands for a group, if one does. */
  cabinetOf(group) {
    return this.cabinets.get(group) ?? null;
  }

  speaks(device) {
    return !["never", "offline", "silent", "resting"].includes(this.conditionOf(device));
  }

  /** Power now [W]: what the cabinets meter, and lamp by lamp where no cabinet does. Null if nothing is measured. */
  lightingPower() {
    const metered = new Set();
    let total = null;
    const streetlights = [...this.devices.values()].filter((d) => d.domain === "streetlight" && this.speaks(d));
    for (const cabinet of streetlights.filter(isCabinet)) {
      const power = cabinetPower(cabinet);
      if (power === null) continue;
      total = (total ?? 0) + power;
      if (cabinet.group) metered.add(cabinet.group);
    }
    for (const lamp of streetlights) {
      const power = isCabinet(lamp) || metered.has(lamp.group) ? null : trusted(lamp, "power");
      if (power !== null) total = (total ?? 0) + power;
    }
    return total;
  }
}

function cabinetPower(cabinet) {
  const whole = trusted(cabinet, "power");
  if (whole !== null) return whole;
  const phases = ["power_l1", "power_l2", "power_l3"].map((name) => trusted(cabinet, name)).filter((w) => w !== null);
  return phases.length === 0 ? null : phases.reduce((sum, watts) => sum + watts, 0);
}

/** The commune's point, else the middle of its devices, else nothing. */
function centreOf(commune, devices) {
  if (Number.isFinite(commune.latitude) && Number.isFinite(commune.longitude)) return [commune.latitude, commune.longitude];
  const placed = devices.filter((device) => device.latitude !== null && device.longitude !== null);
  if (placed.length === 0) return null;
  const mean = (name) => placed.reduce((sum, device) => sum + device[name], 0) / placed.length;
  return [mean("latitude"), mean("longitude")];
}
