/** How the gateway itself is: the live line to it, its parts, and its ledger. */

import { get } from "./api.js";
import { byId, setText } from "./dom.js";
import { clockText, has, number, t } from "./words.js";

const ASK_PARTS_EVERY = 15_000;

export class System {
  constructor() {
    this.state = "connecting";
    this.stoppedAt = null;
    this.parts = [];
    this.notice = null;
    this.totals = null;
    this.askedAt = -Infinity;
  }

  /** "live" or "lost"; `at` is the gateway's time, to say how old the picture is. */
  link(state, at = null) {
    if (state === "lost" && this.state === "live") this.stoppedAt = at;
    this.state = state;
    this.translate();
  }

  /** A notice that stays: there is nothing to show, and why. */
  say(key) {
    this.notice = key;
    this.translate();
  }

  async health(event) {
    this.totals = event.ledger;
    if (event.status === "ok") this.parts = [];
    else if (performance.now() - this.askedAt > ASK_PARTS_EVERY) {
      this.askedAt = performance.now();
      const health = await get("/health").catch(() => ({ parts: [] }));
      this.parts = health.parts.filter((part) => part.state !== "ok");
    }
    this.translate();
  }

  partText({ part, state, detail }) {
    const [kind, name] = part.split(":");
    const what = has(`part.${kind}`) ? t(`part.${kind}`) : kind;
    return t(`system.${state === "failing" ? "failing" : "waiting"}`, { part: name ? `${what} “${name}”` : what, detail });
  }

  translate() {
    const link = byId("link");
    link.dataset.state = this.state;
    setText(link.lastElementChild, t(`link.${this.state}`));
    const lines = this.notice === null ? [] : [t(this.notice)];
    if (this.state === "lost") lines.push(this.stoppedAt === null ? t("system.unreached") : t("system.stopped", { time: clockText(this.stoppedAt) }));
    else lines.push(...this.parts.map((part) => this.partText(part)));
    const banner = byId("banner");
    banner.hidden = lines.length === 0;
    setText(banner, lines.join(" "));
    if (this.totals === null) return;
    const totals = Object.fromEntries(Object.entries(this.totals).map(([name, count]) => [name, number(count, 0)]));
    setText(byId("ledger"), t("ledger", totals));
  }
}
