/** The last 24 hours of one property of one device, growing as values come in. */

import { get } from "./api.js";
import { isCabinet, isLamp } from "./condition.js";
import { byId, make, setText } from "./dom.js";
import { clockText, dayAndMonth, inVocabularyOrder, isFlag, measurementOf, number, propertyName, t, valueText, whenText } from "./words.js";

const { uPlot } = globalThis;
const DAY = 24 * 3600_000;
/** One bucket for so many pixels: finer lines only tremble. */
const PIXELS_PER_POINT = 3;
const ASK_AGAIN = 5 * 60_000;
/** Longer without a point than this many of the device's intervals (or buckets) is drawn as a gap, never bridged. */
const GAP = 3;
/** A list to choose from stays one a person can read; single lamps are reached through their own page. */
const MOST_CHOICES = 60;
const ORDER = ["air_quality", "water_quality", "water_supply", "weather", "streetlight", "device"];
/** What to show when nobody has chosen: what touches people most. */
const FAVOURITES = ["pm2_5", "dissolved_oxygen", "residual_chlorine", "power", "water_level", "air_temperature", "ph"];

/** Columns for the chart: [seconds, mean, low, high], with an empty point where the device was not heard. */
export function columns(points, gapMs) {
  const rows = [[], [], [], []];
  let before = null;
  for (const [ms, mean, low, high] of points) {
    if (before !== null && ms - before > gapMs) [(before + ms) / 2000, null, null, null].forEach((value, at) => rows[at].push(value));
    [ms / 1000, mean, low, high].forEach((value, at) => rows[at].push(value));
    before = ms;
  }
  return rows;
}

export class Trend {
  constructor() {
    this.deviceChoice = byId("trend-device");
    this.propertyChoice = byId("trend-property");
    this.box = byId("trend-chart");
    this.device = null;
    this.property = null;
    this.points = [];
    this.question = 0;
    this.deviceChoice.addEventListener("change", () => this.choose(this.fleet.devices.get(this.deviceChoice.value), null));
    this.propertyChoice.addEventListener("change", () => this.choose(this.device, this.propertyChoice.value));
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(this.box);
  }

  /** Another fleet: keep the choice if it is still there, else choose what is meaningful. */
  show(fleet) {
    this.fleet = fleet;
    const kept = this.device === null ? undefined : fleet.devices.get(this.device.device);
    const [device, property] = kept ? [kept, this.property] : this.favourite();
    this.choose(device, property);
  }

  favourite() {
    const stations = this.stations();
    for (const property of FAVOURITES) {
      const device = stations.find((each) => property in each.v && this.fleet.speaks(each));
      if (device) return [device, property];
    }
    return [stations.find((each) => Object.keys(each.v).length > 0) ?? stations[0], null];
  }

  /** Everything but lamps, and lamps too where they are few. */
  stations() {
    const devices = [...this.fleet.devices.values()];
    const chosen = devices.length <= MOST_CHOICES ? devices : devices.filter((device) => !isLamp(device)).slice(0, MOST_CHOICES);
    return chosen.sort((a, b) => ORDER.indexOf(a.domain) - ORDER.indexOf(b.domain) || Number(isCabinet(b)) - Number(isCabinet(a)));
  }

  choose(device, property) {
    this.device = device ?? null;
    this.property = this.device === null ? null : property ?? this.properties()[0] ?? null;
    this.fillChoices();
    this.load();
  }

  properties() {
    const names = inVocabularyOrder(Object.keys(this.device.v));
    const favourite = FAVOURITES.find((name) => names.includes(name) && measurementOf(name) === this.device.domain);
    const own = names.filter((name) => measurementOf(name) === this.device.domain && name !== favourite);
    const other = names.filter((name) => measurementOf(name) !== this.device.domain && name !== favourite);
    return [...(favourite ? [favourite] : []), ...own, ...other];
  }

  fillChoices() {
    const stations = this.stations();
    if (this.device !== null && !stations.includes(this.device)) stations.unshift(this.device);
    const groups = new Map();
    for (const device of stations) {
      const option = make("option", { value: device.device, text: device.label, selected: device === this.device });
      if (groups.has(device.domain)) groups.get(device.domain).push(option);
      else groups.set(device.domain, [option]);
    }
    this.deviceChoice.replaceChildren(...[...groups].map(([domain, options]) =>
      make("optgroup", { label: t(`domain.${domain}`) }, ...options)));
    this.propertyChoice.replaceChildren(...(this.device === null ? [] : this.properties()).map((name) =>
      make("option", { value: name, text: propertyName(name), selected: name === this.property })));
  }

  /** Ask for the day's points; `again` keeps the chart on screen meanwhile, and if nobody answers. */
  async load(again = false) {
    this.question += 1;
    const { question, device, property } = this;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(true), ASK_AGAIN);
    if (!again) {
      this.points = [];
      this.tell("trend.loading");
    }
    if (device === null || property === null) return this.tell("trend.nothing");
    const now = this.fleet.now();
    const span = { start: new Date(now - DAY).toISOString(), stop: new Date(now).toISOString() };
    const points = Math.round(Math.min(480, Math.max(96, this.size().width / PIXELS_PER_POINT)));
    try {
      const series = await get("/series", { device: device.device, property, points, ...span });
      if (question !== this.question) return;
      this.every = series.every_seconds * 1000;
      this.points = series.points;
    } catch {
      if (question === this.question && this.points.length === 0) this.tell("trend.unreachable");
      return;
    }
    if (this.points.length > 0) this.draw();
    else this.tell("trend.nothing");
  }

  /** Say why there is no chart. */
  tell(key) {
    const note = byId("trend-note");
    note.dataset.key = key;
    note.hidden = false;
    setText(note, t(key));
    if (key !== "trend.loading") {
      this.chart?.destroy();
      this.chart = null;
      this.box.replaceChildren();
      setText(byId("trend-summary"), "");
    }
  }

  /** A value came in: put it at the end, if it is this chart's. */
  take() {
    const latest = this.device === null ? undefined : this.fleet.devices.get(this.device.device)?.v[this.property];
    if (latest === undefined || this.points.length === 0) return;
    const [value, , ms] = latest;
    if (ms <= this.points.at(-1)[0]) return;
    this.points.push([ms, value, value, value]);
    this.draw();
  }

  size() {
    return { width: Math.max(200, this.box.clientWidth), height: this.box.clientHeight || 260 };
  }

  draw() {
    byId("trend-note").hidden = true;
    const gap = GAP * Math.max(this.every, this.device.interval_seconds * 1000);
    const now = this.fleet.now();
    const data = columns(this.points.filter(([ms]) => ms >= now - DAY), gap);
    if (data[0].length === 0) return this.tell("trend.nothing");
    const key = `${this.device.device} ${this.property} ${document.documentElement.lang}`;
    if (!this.chart || this.chartKey !== key) {
      this.chart?.destroy();
      this.box.replaceChildren();
      this.chart = new uPlot(this.options(), data, this.box);
      this.chartKey = key;
    } else this.chart.setData(data);
    this.summarize();
  }

  options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `14px ${style.getPropertyValue("--font").trim()}`;
    const axis = { stroke: colour("--soft"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const flag = isFlag(this.property);
    const paths = flag ? uPlot.paths.stepped({ align: 1 }) : undefined;
    const edge = { stroke: "transparent", points: { show: false } };
    return {
      ...this.size(), padding: [12, 12, 0, 0], legend: { show: false }, cursor: { y: false, drag: { setScale: false } },
      scales: {
        x: { time: true, range: () => [(this.fleet.now() - DAY) / 1000, this.fleet.now() / 1000] },
        y: flag ? { range: [-0.1, 1.1] } : {},
      },
      axes: [
        {
          ...axis, space: 60, size: 44, incrs: [3600, 7200, 10800, 14400, 21600, 43200],
          values: (_, splits) => splits.map((seconds) => this.tick(seconds * 1000)),
        },
        {
          ...axis,
          size: (_, labels) => 18 + 8.5 * Math.max(2, ...(labels ?? []).map((label) => label.length)),
          values: (_, splits) => splits.map((value) => this.level(value)),
        },
      ],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Asia/Ho_Chi_Minh"),
      series: [
        {}, { stroke: colour("--accent"), width: 2.5, points: { show: false }, ...(paths ? { paths } : {}) }, { ...edge }, { ...edge },
      ],
      bands: flag ? [] : [{ series: [3, 2], fill: colour("--accent-band") }],
      hooks: { setCursor: [(chart) => this.summarize(chart.cursor.idx)] },
    };
  }

  /** A label of the upright axis; between no and yes there is nothing to say. */
  level(value) {
    if (isFlag(this.property)) return value === 0 || value === 1 ? valueText(this.property, value) : "";
    return number(value, 3);
  }

  tick(ms) {
    const time = clockText(ms);
    return time === "00:00" ? `${time}\n${dayAndMonth(ms)}` : time;
  }

  /** In words what the chart shows, or the value under the pointer: also what a screen reader gets. */
  summarize(index = null) {
    const now = this.fleet.now();
    const show = (value) => valueText(this.property, value);
    const data = this.chart?.data;
    if (index !== null && index !== undefined && data?.[1][index] !== null && data?.[1][index] !== undefined) {
      setText(byId("trend-summary"), t("trend.at", { when: whenText(data[0][index] * 1000, now), value: show(data[1][index]) }));
      return;
    }
    const last = this.points.at(-1);
    if (isFlag(this.property)) {
      setText(byId("trend-summary"), t("trend.flag", { now: show(last[1]), when: whenText(last[0], now) }));
      return;
    }
    const lowest = this.points.reduce((a, b) => (b[2] < a[2] ? b : a));
    const highest = this.points.reduce((a, b) => (b[3] > a[3] ? b : a));
    setText(byId("trend-summary"), t("trend.summary", {
      now: show(last[1]), low: show(lowest[2]), lowWhen: whenText(lowest[0], now), high: show(highest[3]), highWhen: whenText(highest[0], now),
    }));
  }

  translate() {
    if (!this.fleet) return;
    this.fillChoices();
    if (this.points.length > 0) this.draw();
    else setText(byId("trend-note"), t(byId("trend-note").dataset.key ?? "trend.loading"));
  }
}
