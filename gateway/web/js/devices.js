/** The list of devices: the silent ones first, every other one a search away; never more rows than a person reads. */

import { isLamp, lookOf, trusted } from "./condition.js";
import { cardDomain } from "./cards.js";
import { byId, keyed, make, setText } from "./dom.js";
import { placeText } from "./places.js";
import { mark, paintMark } from "./shapes.js";
import { durationText, inVocabularyOrder, isFlag, measurementOf, number, plain, t, valueText, whenText } from "./words.js";

const STEP = 30;
const MUTE = ["offline", "silent", "never"];
const FILTERS = ["silent", "all", "streetlight", "water_quality", "air_quality", "water_supply"];
const VALUES = 2;

export class DeviceList {
  /** `open(device)` shows a device. */
  constructor(open) {
    this.open = open;
    this.filter = "silent";
    this.most = STEP;
    this.list = byId("device-list");
    this.search = byId("device-search");
    this.search.addEventListener("input", () => {
      // Who types a name wants it found, silent or not.
      if (this.search.value.trim() !== "" && this.filter === "silent") this.filter = "all";
      this.most = STEP;
      this.draw(this.fleet);
    });
    byId("device-more").addEventListener("click", () => {
      this.most += STEP;
      this.draw(this.fleet);
    });
  }

  choose(filter) {
    this.filter = filter;
    this.most = STEP;
    this.search.value = "";
    this.draw(this.fleet);
  }

  /** Show a domain's devices and bring the list into view. */
  reveal(filter) {
    this.choose(filter);
    const title = byId("devices-title");
    title.scrollIntoView({ block: "start" });
    title.focus({ preventScroll: true });
  }

  matches(device, filter) {
    if (filter === "all") return true;
    if (filter === "silent") return MUTE.includes(this.fleet.conditionOf(device));
    return cardDomain(device.domain) === filter;
  }

  draw(fleet) {
    this.fleet = fleet;
    const devices = [...fleet.devices.values()];
    this.drawFilters(devices);
    const words = plain(this.search.value.trim());
    const found = devices.filter((device) => this.matches(device, this.filter)
      && (words === "" || plain(`${device.label} ${device.device} ${device.group}`).includes(words)));
    if (this.filter === "silent") found.sort((a, b) => (a.t ?? 0) - (b.t ?? 0));
    const shown = found.slice(0, this.most);
    keyed(this.list, shown, (device) => device.device, (device) => this.create(device), (row, device) => this.update(row, device));
    const empty = byId("device-none");
    empty.hidden = found.length > 0;
    setText(empty, t(words === "" && this.filter === "silent" ? "devices.none_silent" : "devices.none"));
    const more = byId("device-more");
    more.hidden = found.length <= shown.length;
    setText(more, t("devices.more", { n: Math.min(STEP, found.length - shown.length), rest: number(found.length - shown.length, 0) }));
  }

  drawFilters(devices) {
    const counts = FILTERS.map((filter) => [filter, devices.filter((device) => this.matches(device, filter)).length])
      .filter(([filter, count]) => count > 0 || filter === "silent" || filter === "all");
    keyed(byId("device-filters"), counts, ([filter]) => filter,
      ([filter]) => make("button", { type: "button", class: "chip", onclick: () => this.choose(filter) }),
      (chip, [filter, count]) => {
        setText(chip, `${t(filter === "silent" || filter === "all" ? `filter.${filter}` : `domain.${filter}`)} ${number(count, 0)}`);
        chip.setAttribute("aria-pressed", String(filter === this.filter));
      });
  }

  create(device) {
    return make("li", { class: "row" }, mark("ok"),
      make("div", { class: "row-who" },
        make("button", { type: "button", class: "row-name", onclick: () => this.open(this.fleet.devices.get(device.device)) }),
        make("p", { class: "row-where" })),
      make("div", { class: "row-says" }, make("p", { class: "row-state" }), make("p", { class: "row-values" })));
  }

  update(row, device) {
    const [picture, who, says] = row.children;
    const word = this.fleet.conditionOf(device);
    paintMark(picture, lookOf(word));
    setText(who.firstElementChild, device.label);
    setText(who.lastElementChild, placeText(this.fleet, device));
    setText(says.firstElementChild, t(`look.${lookOf(word)}`));
    setText(says.lastElementChild, this.says(device, word));
  }

  /** When it was last heard if it is mute, else what it measures. */
  says(device, word) {
    const now = this.fleet.now();
    if (word === "never") return "";
    if (MUTE.includes(word)) return t("since.last", { when: whenText(device.t, now), duration: durationText(now - device.t) });
    const names = inVocabularyOrder(Object.keys(device.v))
      .filter((name) => measurementOf(name) !== "device" && (!isFlag(name) || isLamp(device)) && trusted(device, name) !== null);
    const wanted = isLamp(device) ? names.filter((name) => ["power", "dimming_level"].includes(name)) : names;
    return (wanted.length > 0 ? wanted : names).slice(0, VALUES).map((name) => valueText(name, device.v[name][0])).join(" · ");
  }
}
