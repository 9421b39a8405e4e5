/** One device, whole: what it is, where it stands, and every value with its quality in words. */

import { get } from "./api.js";
import { lookOf } from "./condition.js";
import { byId, keyed, make, setText } from "./dom.js";
import { placeText } from "./places.js";
import { mark, paintMark } from "./shapes.js";
import { durationText, has, inVocabularyOrder, propertyName, t, valueText, whenText } from "./words.js";

export class Detail {
  /** `plot(device, property)` shows a trend. */
  constructor(plot) {
    this.plot = plot;
    this.dialog = byId("detail");
    this.device = null;
    this.more = null;
    byId("detail-state").prepend(mark("ok"));
    byId("detail-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => { this.device = null; });
    // A click on the dimmed page beside the sheet lands on the dialog itself.
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  async open(fleet, device) {
    this.device = device;
    this.more = null;
    this.draw(fleet);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    const more = await get(`/devices/${encodeURIComponent(device.device)}`).catch(() => null);
    if (this.device !== device) return;
    this.more = more;
    this.draw(this.fleet);
  }

  draw(fleet) {
    this.fleet = fleet;
    if (this.device === null) return;
    const device = fleet.devices.get(this.device.device) ?? this.device;
    const now = fleet.now();
    const word = fleet.conditionOf(device);
    setText(byId("detail-name"), device.label);
    setText(byId("detail-where"), placeText(fleet, device));
    paintMark(byId("detail-state").firstElementChild, lookOf(word));
    const heard = device.t === null ? t("devices.never")
      : t("detail.heard", { when: whenText(device.t, now), duration: durationText(Math.max(0, now - device.t)) });
    setText(byId("detail-state-text"), `${t(`look.${lookOf(word)}`)} · ${heard}`);
    this.drawValues(device, now);
    this.drawFacts(device);
  }

  drawValues(device, now) {
    const names = inVocabularyOrder(Object.keys(device.v));
    byId("detail-no-values").hidden = names.length > 0;
    keyed(byId("detail-values"), names, (name) => name, (name) => this.createValue(name), (row, name) => {
      const [value, quality, ms] = device.v[name];
      const [head, number, judged, time, chart] = row.children;
      setText(head, propertyName(name));
      setText(number, valueText(name, value));
      setText(judged, t(`quality.${quality}`));
      judged.className = quality >= 3 ? "is-doubtful" : "";
      setText(time, whenText(ms, now));
      setText(chart.firstElementChild, t("detail.chart"));
      chart.firstElementChild.setAttribute("aria-label", t("detail.chart_of", { property: propertyName(name) }));
    });
  }

  createValue(name) {
    const plot = () => {
      const { device } = this;
      this.dialog.close();
      this.plot(device, name);
    };
    return make("tr", {}, make("th", { scope: "row" }), make("td", { class: "number" }), make("td"), make("td"),
      make("td", {}, make("button", { type: "button", class: "link", onclick: plot })));
  }

  drawFacts(device) {
    const minutes = durationText(device.interval_seconds * 1000);
    const { more } = this;
    const facts = [
      ["detail.device", device.device],
      ["detail.kind", more ? `${more.maker} ${more.model}` : device.profile],
      ["detail.profile", device.profile],
      ["detail.group", device.group],
      ["detail.zone", device.zone && has(`zone.${device.zone}`) ? t(`zone.${device.zone}`) : device.zone],
      ["detail.position", device.latitude === null ? "" : `${device.latitude.toFixed(5)}, ${device.longitude.toFixed(5)}`],
      ["detail.interval", t("detail.every", { duration: minutes })],
      ["detail.power", t(`powered.${device.powered}`)],
      ["detail.hardware", more ? more.hardware_ids.map((id) => (typeof id === "string" ? id : id.value)).join(", ") : ""],
      ["detail.simulated", device.simulated ? t("yes") : ""],
    ].filter(([, value]) => value);
    keyed(byId("detail-facts"), facts, ([name]) => name, () => make("div", {}, make("dt"), make("dd")), (row, [name, value]) => {
      setText(row.firstElementChild, t(name));
      setText(row.lastElementChild, value);
    });
  }
}
