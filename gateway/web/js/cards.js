/** Counts and key values by domain: what the village's lamps, water and air are doing now. */

import { isLamp, isLit, trusted } from "./condition.js";
import { keyed, byId, make, setText } from "./dom.js";
import { sign } from "./shapes.js";
import { clockText, isFlag, number, propertyName, symbolOf, t } from "./words.js";

/**
 * The domains with the properties people ask for first, and which of several stations speaks for the commune:
 * the one that is worst for people.
 */
const DOMAINS = [
  { key: "streetlight", measurements: ["streetlight"], wanted: [] },
  {
    key: "water_quality", measurements: ["water_quality"],
    wanted: [["dissolved_oxygen", "least"], ["ph", "least"], ["water_temperature", "most"], ["water_level", "most"], ["salinity", "most"],
      ["ammonium_nitrogen", "most"], ["turbidity", "most"], ["conductivity", "most"]],
  },
  {
    key: "air_quality", measurements: ["air_quality", "weather"],
    wanted: [["pm2_5", "most"], ["pm10", "most"], ["air_temperature", "most"], ["relative_humidity", "most"], ["co", "most"], ["o3", "most"],
      ["no2", "most"], ["so2", "most"], ["noise", "most"], ["rain_rate", "most"]],
  },
  {
    key: "water_supply", measurements: ["water_supply"],
    wanted: [["residual_chlorine", "least"], ["supply_turbidity", "most"], ["supply_ph", "least"], ["pressure", "least"], ["flow", "most"],
      ["tank_level", "least"], ["volume", "most"]],
  },
];
const FACTS = 3;

/** What a card says: { key, big, unit, title, facts: [[name, value]], state, troubled }. */
function cardOf(fleet, domain, concerns) {
  const devices = [...fleet.devices.values()].filter((device) => domain.measurements.includes(device.domain));
  if (devices.length === 0) return null;
  const troubled = new Set(concerns.flatMap((one) => one.devices)
    .filter((device) => domain.measurements.includes(device.domain)).map((device) => device.device)).size;
  const content = domain.key === "streetlight" ? lighting(fleet, devices) : stations(fleet, devices, domain);
  const state = troubled === 0 ? t("card.fine", { n: number(devices.length, 0) }) : t("card.troubled", { n: number(troubled, 0) });
  return { key: domain.key, state, troubled, ...content };
}

function lighting(fleet, devices) {
  const lamps = devices.filter(isLamp);
  const heard = lamps.filter((lamp) => fleet.speaks(lamp));
  const lit = heard.filter((lamp) => isLit(lamp) === true).length;
  const power = fleet.lightingPower();
  const facts = [[t("card.power"), power === null ? "–" : `${number(power / 1000, 2)} kW`]];
  if (fleet.sky) {
    const rise = [t("card.sunrise"), clockText(fleet.sky.sunrise)];
    const set = [t("card.sunset"), clockText(fleet.sky.sunset)];
    facts.push(fleet.sky.up ? set : rise);
  }
  facts.push([t("card.heard"), `${number(heard.length, 0)}/${number(lamps.length, 0)}`]);
  return { big: number(lit, 0), unit: `/ ${number(lamps.length, 0)}`, title: t("card.lit"), facts };
}

/** The value that speaks for the commune: the worst one that can be trusted, of stations that speak. */
function speakingValue(fleet, devices, property, which) {
  const values = devices.filter((device) => fleet.speaks(device)).map((device) => trusted(device, property)).filter((v) => v !== null);
  if (values.length === 0) return null;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return { least, most, worst: which === "most" ? most : least, of: values.length, which };
}

function nameOf(property, found) {
  return found.of > 1 ? t(`card.${found.which}`, { property: propertyName(property) }) : propertyName(property);
}

/** One value, or from the least to the most where stations differ. */
function rangeText(property, found) {
  const [least, most] = [number(found.least), number(found.most)];
  return `${least === most ? most : `${least}–${most}`} ${symbolOf(property)}`.trim();
}

function stations(fleet, devices, domain) {
  const found = domain.wanted.filter(([property]) => !isFlag(property))
    .map(([property, which]) => [property, speakingValue(fleet, devices, property, which)]).filter(([, value]) => value !== null);
  if (found.length === 0) return { big: "–", unit: "", title: t("card.nothing"), facts: [] };
  const [[property, first], ...rest] = found;
  return {
    big: number(first.worst), unit: symbolOf(property), title: nameOf(property, first),
    facts: rest.slice(0, FACTS).map(([name, value]) => [propertyName(name), rangeText(name, value)]),
  };
}

function create(card, open) {
  return make("section", { class: "card", "aria-labelledby": `card-${card.key}` },
    make("div", { class: "card-top" },
      make("h2", { class: "card-head", id: `card-${card.key}` }, sign(card.key),
        make("button", { type: "button", class: "card-name", onclick: () => open(card.key) })),
      make("p", { class: "card-state" })),
    make("div", { class: "card-main" },
      make("p", { class: "card-big" }, make("span", { class: "card-value" }), " ", make("span", { class: "card-unit" })),
      make("p", { class: "card-title" })),
    make("dl", { class: "card-facts" }));
}

function update(node, card) {
  const [top, main, facts] = node.children;
  const [head, state] = top.children;
  const [big, title] = main.children;
  setText(head.lastElementChild, t(`domain.${card.key}`));
  setText(big.firstElementChild, card.big);
  setText(big.lastElementChild, card.unit);
  setText(title, card.title);
  keyed(facts, card.facts, ([name]) => name, () => make("div", {}, make("dt"), make("dd")), (row, [name, value]) => {
    setText(row.firstElementChild, name);
    setText(row.lastElementChild, value);
  });
  setText(state, card.state);
  state.classList.toggle("is-troubled", card.troubled > 0);
}

/** Draw a card for every domain the commune has; `open(domain)` lists its devices. */
export function drawCards(fleet, concerns, open) {
  const cards = DOMAINS.map((domain) => cardOf(fleet, domain, concerns)).filter((card) => card !== null);
  keyed(byId("cards"), cards, (card) => card.key, (card) => create(card, open), update);
}

/** The domain a card stands for, of a device's measurement. */
export function cardDomain(measurement) {
  return DOMAINS.find((domain) => domain.measurements.includes(measurement))?.key ?? null;
}
