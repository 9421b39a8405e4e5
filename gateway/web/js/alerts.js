/** What the gateway's rules say is wrong: the worst first, what to do, and who takes care of it. */

import { post, token } from "./api.js";
import { byId, keyed, make, setText } from "./dom.js";
import { mark, paintMark } from "./shapes.js";
import { currentLanguage, durationText, number, t, whenText } from "./words.js";

const FIRST = 4;
const STEP = 20;
const NAME = "board.name";
const LOOKS = { critical: "alarm", warning: "dark", info: "suspect" };

/** Which alerts say what an errand of the board would say again. */
const COVERS = {
  dark: ["lamp_out", "circuit_out", "lamp_failure_reported", "control_gear_failure_reported", "lamp_cycling"],
  burning: ["day_burner", "circuit_day"],
  silent: ["silent", "circuit_out", "commune_silent"],
  lamp_failure: ["lamp_failure_reported", "lamp_out"],
  control_gear_failure: ["control_gear_failure_reported", "lamp_out"],
  door_open: ["door_open"], leak: ["leak_reported", "leak_night"], tamper: ["tamper"], battery: ["battery_low"],
  everything_silent: ["commune_silent"],
};
const SAME = { failed: "dark", dark_group: "dark", offline: "silent", silent_group: "silent", offline_group: "silent", burning_group: "burning" };

export class Alerts {
  /** `open(name)` shows a device by its name. */
  constructor(open) {
    this.open = open;
    this.items = [];
    this.total = 0;
    this.most = FIRST;
    this.list = byId("alert-list");
    this.more = byId("alert-more");
    this.more.addEventListener("click", () => {
      this.most = this.most >= this.items.length ? FIRST : this.most + STEP;
      this.draw(this.fleet);
    });
  }

  take(event) {
    this.items = event.items;
    this.total = event.total;
  }

  /** Whether an alert says already what this concern says. */
  says(one) {
    const rules = COVERS[SAME[one.kind] ?? one.kind];
    if (rules === undefined) return false;
    const [device] = one.devices;
    return this.items.some((alert) => rules.includes(alert.rule) && (
      alert.scope === "commune" || (alert.scope === "group" ? alert.group === (one.group ?? device.group) : alert.device === device.device)
    ));
  }

  draw(fleet) {
    this.fleet = fleet;
    const shown = this.items.slice(0, this.most);
    byId("alerts").hidden = this.items.length === 0;
    setText(byId("alert-count"), String(this.total));
    keyed(this.list, shown, (one) => one.id, (one) => this.create(one), (node, one) => this.update(node, one));
    const hidden = this.items.length - shown.length;
    this.more.hidden = this.items.length <= FIRST;
    setText(this.more, hidden > 0 ? t("alerts.more", { n: hidden }) : t("todo.less"));
  }

  create(one) {
    const current = () => this.items.find((each) => each.id === one.id) ?? one;
    return make("li", { class: "errand alert" },
      mark(LOOKS[one.severity]),
      make("div", {},
        make("p", { class: "errand-what" },
          make("button", { type: "button", class: "errand-name", onclick: () => this.open(current().device) }), make("span")),
        make("p", { class: "errand-where" }),
        make("p", { class: "errand-do" })),
      make("div", { class: "alert-care" }, make("span"), make("button", { type: "button", class: "more", onclick: () => this.care(current()) })));
  }

  update(node, one) {
    const language = currentLanguage();
    const now = this.fleet.now();
    const since = Date.parse(one.since);
    const [picture, words, care] = node.children;
    const [what, where, todo] = words.children;
    paintMark(picture, LOOKS[one.severity]);
    setText(what.firstElementChild, `${t(`severity.${one.severity}`)}: ${one.title[language]}`);
    setText(what.lastElementChild, `, ${one.place}, ${t("since.from", { when: whenText(since, now), duration: durationText(Math.max(0, now - since)) })}.`);
    const figures = one.unit !== "" && one.value !== null && one.limit !== null
      ? t("alerts.figures", { value: `${number(one.value)} ${one.unit}`, limit: `${number(one.limit)} ${one.unit}` }) : "";
    setText(where, figures);
    where.hidden = figures === "";
    setText(todo, one.advice[language]);
    const taken = one.acknowledged_by !== "";
    setText(care.firstElementChild, taken ? t("alerts.taken", { name: one.acknowledged_by }) : one.silenced ? t("alerts.silenced") : "");
    care.lastElementChild.hidden = taken || token() === null;
    setText(care.lastElementChild, t("alerts.care"));
  }

  async care(one) {
    const name = window.prompt(t("alerts.who"), localStorage.getItem(NAME) ?? "")?.trim().slice(0, 64);
    if (!name) return;
    localStorage.setItem(NAME, name);
    // The live stream brings the new state; if it was over meanwhile, the stream says that too.
    await post("/alerts/acknowledge", { id: one.id, by: name }).catch(() => null);
  }
}
