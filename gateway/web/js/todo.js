/** The errands on screen: each one sentence of which device, what and since when, then where, then what to do. */

import { doubtfulValue } from "./concerns.js";
import { byId, keyed, make, setText } from "./dom.js";
import { groupText, placeText, zoneText } from "./places.js";
import { mark, paintMark } from "./shapes.js";
import { durationText, propertyName, t, valueText, whenText } from "./words.js";

/** On a tall screen more fits beside the map. */
const FIRST = window.innerHeight >= 950 ? 5 : 3;
const STEP = 20;
const JUST = 60_000;
/** Errands whose beginning is read from the history of a lamp or a flag. */
const LOOKED_UP = {
  failed: "failed", dark: "dark", burning: "burning", dark_group: "dark", burning_group: "burning",
  door_open: "door_open", leak: "leak", tamper: "tamper", lamp_failure: "lamp_failure", control_gear_failure: "control_gear_failure",
};
const LAST_WORD = ["silent", "offline", "silent_group", "offline_group", "everything_silent"];

export class Todo {
  /** `open(device)` shows a device; `point(devices)` marks devices on the map, or none. */
  constructor(sinceWhen, open, point) {
    this.sinceWhen = sinceWhen;
    this.open = open;
    this.point = point;
    this.most = FIRST;
    this.shown = [];
    this.list = byId("todo-list");
    this.more = byId("todo-more");
    this.more.addEventListener("click", () => this.showMore());
  }

  showMore() {
    this.most = this.most >= this.concerns.length ? FIRST : this.most + STEP;
    this.draw(this.fleet, this.concerns);
  }

  draw(fleet, concerns) {
    this.fleet = fleet;
    this.concerns = concerns;
    this.shown = concerns.slice(0, this.most);
    setText(byId("todo-count"), concerns.length > 0 ? String(concerns.length) : "");
    byId("todo-none").hidden = concerns.length > 0;
    keyed(this.list, this.shown, (one) => one.key, (one) => this.create(one), (node, one) => this.update(node, one));
    const hidden = concerns.length - this.shown.length;
    this.more.hidden = concerns.length <= FIRST;
    setText(this.more, hidden > 0 ? t("todo.more", { n: hidden }) : t("todo.less"));
    this.sinceWhen.keepOnly(new Set(this.shown.filter((one) => one.kind in LOOKED_UP)
      .map((one) => `${one.devices[0].device} ${LOOKED_UP[one.kind]}`)));
  }

  create(one) {
    const node = make("li", { class: "errand" },
      mark(one.look),
      make("div", {},
        make("p", { class: "errand-what" }, make("button", { type: "button", class: "errand-name" }), make("span")),
        make("p", { class: "errand-where" }),
        make("p", { class: "errand-do" })));
    const current = () => this.shown.find((each) => each.key === node.dataset.key);
    node.querySelector("button").addEventListener("click", () => this.open(current().devices[0]));
    for (const begin of ["mouseenter", "focusin"]) node.addEventListener(begin, () => this.point(current()?.devices ?? []));
    for (const end of ["mouseleave", "focusout"]) node.addEventListener(end, () => this.point([]));
    return node;
  }

  update(node, one) {
    const [what, where, todo] = node.lastElementChild.children;
    paintMark(node.firstElementChild, one.look);
    setText(what.firstElementChild, this.name(one));
    setText(what.lastElementChild, ` ${this.sentence(one)}.`);
    setText(where, this.where(one));
    where.hidden = where.textContent === "";
    setText(todo, t(`concern.${one.kind}.do`));
  }

  name(one) {
    if (one.kind === "everything_silent") return this.fleet.commune.name || this.fleet.commune.commune;
    if (one.group !== null) return groupText(this.fleet, one.group);
    return one.kind === "never_group" ? t("concern.never_group.name", { n: one.devices.length }) : one.devices[0].label;
  }

  where(one) {
    const [first] = one.devices;
    if (one.kind === "everything_silent") return "";
    if (one.kind === "never_group") return one.devices.slice(0, 3).map((d) => d.label).join(", ") + (one.devices.length > 3 ? ", …" : "");
    const anchor = one.group === null ? first : (this.fleet.cabinetOf(one.group) ?? first);
    return placeText(this.fleet, anchor) || (first.zone ? zoneText(first.zone) : t("place.unknown"));
  }

  sentence(one) {
    const doubtful = one.kind === "suspect" ? doubtfulValue(one.devices[0]) : null;
    const what = t(`concern.${one.kind}.what`, {
      n: one.devices.length, total: one.total,
      ...(doubtful ? { property: propertyName(doubtful.property), value: valueText(doubtful.property, doubtful.value) } : {}),
      ...(one.kind === "battery" ? { value: valueText("battery", one.value) } : {}),
    });
    const since = this.since(one, doubtful);
    return since === "" ? what : `${what}, ${since}`;
  }

  since(one, doubtful) {
    const now = this.fleet.now();
    const [first] = one.devices;
    if (doubtful) return t("since.measured", { when: whenText(doubtful.ms, now) });
    if (LAST_WORD.includes(one.kind)) {
      const last = Math.max(...one.devices.map((device) => device.t));
      return t("since.last", { when: whenText(last, now), duration: durationText(now - last) });
    }
    if (!(one.kind in LOOKED_UP)) return "";
    const found = this.sinceWhen.of(first, LOOKED_UP[one.kind], this.fleet);
    if (found === null) return t("since.seen", { when: whenText(first.t, now) });
    // The history is in buckets: the last one may end after the device's latest word.
    const from = Math.min(found.ms, first.t);
    const duration = durationText(Math.max(0, now - from));
    if (found.beyond) return t("since.before", { duration });
    return t(now - from < JUST ? "since.just" : "since.from", { when: whenText(from, now), duration });
  }
}
