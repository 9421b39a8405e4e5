/** The board: asks once what there is, then follows the live stream and draws at most once a second. */

import { Alerts } from "./alerts.js";
import { get, getAll, whenTokenIsNeeded } from "./api.js";
import { drawCards } from "./cards.js";
import { concernsOf } from "./concerns.js";
import { Detail } from "./detail.js";
import { DeviceList } from "./devices.js";
import { byId, make, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { LiveStream } from "./live.js";
import { VillageMap } from "./map.js";
import { SinceWhen } from "./since.js";
import { System } from "./system.js";
import { Todo } from "./todo.js";
import { askForToken } from "./token.js";
import { Trend } from "./trend.js";
import { clockText, currentLanguage, dateText, learnVocabulary, preferredLanguage, speak, t } from "./words.js";

const REMEMBERED = "board.commune";
const RETRY = 3_000;
const DRAW_PAUSE = 250;
/** Durations grow and silences fall due without any event. */
const DRAW_ANYWAY = 15_000;
/** A fleet is asked for anew when strangers speak, but not more often than this. */
const ASK_FLEET_AGAIN = 30_000;

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

class Board {
  constructor() {
    this.fleet = null;
    this.stream = null;
    this.drawing = 0;
    this.askedAt = 0;
    const open = (device) => this.detail.open(this.fleet, device);
    this.system = new System();
    this.map = new VillageMap(open);
    this.trend = new Trend();
    this.detail = new Detail((device, property) => this.plot(device, property));
    this.list = new DeviceList(open);
    this.alerts = new Alerts((name) => {
      const device = this.fleet.devices.get(name);
      if (device !== undefined) open(device);
    });
    this.todo = new Todo(new SinceWhen(() => this.soon()), open, (devices) => this.map.point(devices));
    byId("commune").addEventListener("change", (event) => this.enter(event.target.value));
    for (const button of document.querySelectorAll("[data-language]")) {
      button.addEventListener("click", () => this.speak(button.dataset.language, { remember: true }));
    }
    setInterval(() => this.tick(), 1000);
    setInterval(() => this.soon(), DRAW_ANYWAY);
  }

  async start() {
    while (!(await this.speak(preferredLanguage()))) await pause(RETRY);
    whenTokenIsNeeded(askForToken);
    await this.insist(async () => {
      learnVocabulary((await get("/vocabulary")).properties);
      this.communes = (await get("/communes")).items;
    });
    this.offerCommunes();
    const asked = new URLSearchParams(location.search).get("commune") ?? localStorage.getItem(REMEMBERED);
    const first = this.communes.find((each) => each.commune === asked) ?? this.communes[0];
    if (first === undefined) this.system.say("system.no_devices");
    else await this.enter(first.commune);
  }

  /** Try until it works, saying so meanwhile: the page may be open before the gateway is up. */
  async insist(question) {
    for (;;) {
      try {
        return await question();
      } catch {
        this.system.link("lost");
        await pause(RETRY);
      }
    }
  }

  offerCommunes() {
    const choice = byId("commune");
    const many = this.communes.length > 1;
    choice.replaceChildren(...this.communes.map((each) => make("option", { value: each.commune, text: each.name || each.commune })));
    choice.hidden = !many;
    byId("commune-name").hidden = many;
  }

  async enter(key) {
    const commune = this.communes.find((each) => each.commune === key);
    this.stream?.close();
    this.alerts.take({ items: [], total: 0 });
    localStorage.setItem(REMEMBERED, key);
    byId("commune").value = key;
    setText(byId("commune-name"), commune.name || commune.commune);
    const devices = await this.insist(() => getAll("/devices", { commune: key }));
    this.askedAt = performance.now();
    this.fleet = new Fleet(commune, devices);
    this.fresh = true;
    byId("simulated").hidden = !devices.some((device) => device.simulated);
    this.stream = new LiveStream(key, {
      snapshot: (event) => this.take(event),
      change: (event) => this.take(event),
      health: (event) => this.system.health(event),
      alerts: (event) => {
        this.alerts.take(event);
        this.soon();
      },
      link: (state) => this.system.link(state, this.fleet.now()),
    });
  }

  take(event) {
    const strangers = this.fleet.take(event);
    if (strangers && performance.now() - this.askedAt > ASK_FLEET_AGAIN) {
      this.enter(this.fleet.commune.commune);
      return;
    }
    this.soon();
  }

  plot(device, property) {
    this.trend.choose(device, property);
    const title = byId("trend-title");
    title.scrollIntoView({ block: "start" });
    title.focus({ preventScroll: true });
  }

  soon() {
    if (this.drawing !== 0 || this.fleet === null) return;
    this.drawing = setTimeout(() => {
      this.drawing = 0;
      this.draw();
    }, DRAW_PAUSE);
  }

  draw() {
    const { fleet } = this;
    fleet.judge();
    const concerns = concernsOf(fleet).filter((one) => !this.alerts.says(one));
    if (this.fresh) {
      this.fresh = false;
      this.map.show(fleet);
      this.trend.show(fleet);
    } else this.trend.take();
    this.alerts.draw(fleet);
    this.todo.draw(fleet, concerns);
    drawCards(fleet, concerns, (domain) => this.list.reveal(domain));
    this.map.draw();
    this.list.draw(fleet);
    this.detail.draw(fleet);
    // A tab in the background still says how much waits.
    const open = concerns.length + this.alerts.total;
    document.title = `${open > 0 ? `(${open}) ` : ""}${fleet.commune.name || fleet.commune.commune} · ${t("title")}`;
    document.body.dataset.ready = "true";
  }

  tick() {
    const now = this.fleet === null ? Date.now() : this.fleet.now();
    setText(byId("clock"), clockText(now));
    setText(byId("date"), dateText(now));
  }

  /** Change the language. Returns whether it worked: without the server the texts cannot be fetched. */
  async speak(code, how = {}) {
    try {
      await speak(code, how);
    } catch {
      return false;
    }
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === currentLanguage()));
    }
    this.map.translate();
    this.system.translate();
    this.tick();
    if (this.fleet !== null && !this.fresh) {
      this.trend.translate();
      this.draw();
    }
    return true;
  }
}

new Board().start();
