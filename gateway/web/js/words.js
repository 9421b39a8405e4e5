/** Everything said to people: texts in two languages, numbers, units and times of the commune's own zone. */

const ZONE = "Asia/Ho_Chi_Minh";
const LANGUAGES = ["vi", "en"];
const REMEMBERED = "board.language";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let language = "vi";
let texts = {};
let properties = new Map();

/** `?lang=` wins, then what was chosen last time, then Vietnamese. */
export function preferredLanguage() {
  const asked = new URLSearchParams(location.search).get("lang");
  if (LANGUAGES.includes(asked)) return asked;
  const remembered = localStorage.getItem(REMEMBERED);
  return LANGUAGES.includes(remembered) ? remembered : "vi";
}

/** Load a language's texts and put them wherever the page carries a `data-t` key. */
export async function speak(code, { remember = false } = {}) {
  const answer = await fetch(`/static/i18n/${code}.json`);
  if (!answer.ok) throw new Error(`i18n/${code}.json: ${answer.status}`);
  texts = await answer.json();
  language = code;
  if (remember) localStorage.setItem(REMEMBERED, code);
  document.documentElement.lang = code;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-t-hint]")) node.setAttribute("placeholder", t(node.dataset.tHint));
}

export function currentLanguage() {
  return language;
}

/** The text of a key with `{name}` filled in; `key.one` is used for n = 1 where a language needs it. */
export function t(key, values = {}) {
  const text = (String(values.n) === "1" && texts[`${key}.one`]) || texts[key] || key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Whether a language has this key: free words (zones, parts) fall back to what the fleet calls them. */
export function has(key) {
  return key in texts;
}

export function learnVocabulary(items) {
  properties = new Map(items.map((item) => [item.name, item]));
}

export function propertyName(name) {
  const known = properties.get(name);
  return known ? known[language] : name;
}

export function symbolOf(name) {
  return properties.get(name)?.symbol ?? "";
}

/** On/off, yes/no: the vocabulary's dimensionless properties that run from 0 to 1. */
export function isFlag(name) {
  const known = properties.get(name);
  return known !== undefined && known.unit === "1" && known.low === 0 && known.high === 1;
}

/** A state or a counter of the device itself says less about the village than what it measures. */
export function measurementOf(name) {
  return properties.get(name)?.measurement ?? "";
}

/** The order of the vocabulary, which puts what matters most first. */
export function inVocabularyOrder(names) {
  const order = [...properties.keys()];
  return [...names].sort((a, b) => order.indexOf(a) - order.indexOf(b));
}

function locale() {
  return language === "vi" ? "vi-VN" : "en-GB";
}

/** Three significant figures or so, never more than the reader can use. */
export function number(value, digits) {
  const size = Math.abs(value);
  const most = digits ?? (size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: most }).format(value === 0 ? 0 : value);
}

/** A value with its unit, or yes/no. */
export function valueText(name, value) {
  if (isFlag(name)) return value >= 0.5 ? t("yes") : t("no");
  const symbol = symbolOf(name);
  return symbol ? `${number(value)} ${symbol}` : number(value);
}

export function clockText(ms, seconds = false) {
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: ZONE, hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}),
  }).format(ms);
}

export function dateText(ms) {
  const text = new Intl.DateTimeFormat(locale(), { timeZone: ZONE, weekday: "long", day: "numeric", month: "long" });
  const words = text.format(ms);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function dayAndMonth(ms) {
  return new Intl.DateTimeFormat(locale(), { timeZone: ZONE, day: "numeric", month: "numeric" }).format(ms);
}

function dayKey(ms) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: ZONE }).format(ms);
}

/** "20:05 hôm nay", "20:05 hôm qua", "20:05 ngày 18/11". */
export function whenText(ms, now) {
  const time = clockText(ms);
  const day = dayKey(ms);
  if (day === dayKey(now)) return t("when.today", { time });
  if (day === dayKey(now - DAY)) return t("when.yesterday", { time });
  const date = new Intl.DateTimeFormat(locale(), {
    timeZone: ZONE, day: "numeric", month: "numeric",
    ...(day.slice(0, 4) === dayKey(now).slice(0, 4) ? {} : { year: "numeric" }),
  }).format(ms);
  return t("when.date", { time, date });
}

/** "25 phút", "2 giờ 10 phút", "3 ngày": never finer than a person plans by. */
export function durationText(ms) {
  if (ms < MINUTE) return t("duration.moment");
  if (ms < HOUR) return t("duration.minutes", { n: Math.floor(ms / MINUTE) });
  const hours = Math.floor(ms / HOUR);
  if (ms < 12 * HOUR) {
    const minutes = Math.floor((ms % HOUR) / MINUTE);
    const whole = t("duration.hours", { n: hours });
    return minutes === 0 ? whole : `${whole} ${t("duration.minutes", { n: minutes })}`;
  }
  return ms < 2 * DAY ? t("duration.hours", { n: hours }) : t("duration.days", { n: Math.floor(ms / DAY) });
}

/** Text to search in: without case and without Vietnamese marks, so "tram nuoc" finds "Trạm nước". */
export function plain(text) {
  return text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").replace(/[đĐ]/g, "d").toLowerCase();
}
