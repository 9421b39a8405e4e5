/** The live stream: server-sent events that come back by themselves after any interruption. */

import { get, liveAddress } from "./api.js";

const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 30_000;
/** The server says something every 5 seconds; four times that without a word is a dead line that TCP has not noticed. */
const SILENCE = 20_000;

export class LiveStream {
  /** `on` has snapshot(data), change(data), health(data), alerts(data) and link("live" | "lost"). */
  constructor(commune, on) {
    this.commune = commune;
    this.on = on;
    this.retry = FIRST_RETRY;
    this.source = null;
    this.timer = 0;
    this.watch = 0;
    this.closed = false;
    this.again = () => this.soon();
    window.addEventListener("online", this.again);
    this.open();
  }

  open() {
    this.source = new EventSource(liveAddress(this.commune));
    this.heard();
    this.source.addEventListener("snapshot", (event) => {
      this.retry = FIRST_RETRY;
      this.heard();
      this.on.link("live");
      this.on.snapshot(JSON.parse(event.data));
    });
    for (const kind of ["change", "health", "alerts"]) {
      this.source.addEventListener(kind, (event) => {
        this.heard();
        this.on[kind](JSON.parse(event.data));
      });
    }
    this.source.onerror = () => this.lost();
  }

  heard() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.lost(), SILENCE);
  }

  /** The browser gives up on some errors and hammers on others: closing and opening anew is one rule for all. */
  lost() {
    if (this.closed) return;
    this.drop();
    this.on.link("lost");
    this.timer = setTimeout(() => this.reopen(), this.retry * (0.75 + Math.random() / 2));
    this.retry = Math.min(this.retry * 2, LONGEST_RETRY);
  }

  async reopen() {
    try {
      // EventSource hides the status; this question asks for a token if that is what is missing.
      await get("/communes");
    } catch {
      this.lost();
      return;
    }
    if (!this.closed) this.open();
  }

  /** The network is back: do not sit out the pause. */
  soon() {
    if (this.closed || this.source !== null) return;
    clearTimeout(this.timer);
    this.reopen();
  }

  drop() {
    clearTimeout(this.watch);
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  close() {
    this.closed = true;
    window.removeEventListener("online", this.again);
    this.drop();
  }
}
