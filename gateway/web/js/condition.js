/** What condition a device is in, as a person would say it: the API's state, the sun and the latest values together. */

const SILENT_AFTER_INTERVALS = 3;
const SILENT_AT_LEAST = 15 * 60_000;
/** A driver on standby draws 0.5 to 1 W; more than this is light. */
export const LIT_ABOVE_WATTS = 2;
/** Readings of quality 3 (suspect) and worse are shown, but nothing is concluded from them. */
const SUSPECT = 3;

const LAMP_WORDS = ["lamp_on", "dimming_level", "lamp_failure", "control_gear_failure"];
const CABINET_WORDS = ["door_open", "leakage_current", "power_l1", "voltage_l1", "current_l1", "frequency"];

/** Flags a device raises by itself; each is a thing to do. */
export const ALARMS = ["leak", "door_open", "tamper", "lamp_failure", "control_gear_failure"];

/** Chosen: time to plan a battery change. */
export const LOW_BATTERY = 20;

/** How conditions look on the map and in lists; the lower the rank, the further down it is drawn. */
export const LOOKS = {
  resting: { shape: "ring", colour: "--resting", rank: 0 },
  ok: { shape: "circle", colour: "--ok", rank: 0 },
  lit: { shape: "circle", colour: "--lit", rank: 1 },
  never: { shape: "ring", colour: "--silent", rank: 2 },
  silent: { shape: "square", colour: "--silent", rank: 3 },
  suspect: { shape: "diamond", colour: "--suspect", rank: 4 },
  burning: { shape: "star", colour: "--suspect", rank: 5 },
  offline: { shape: "cross", colour: "--alarm", rank: 6 },
  dark: { shape: "triangle", colour: "--alarm", rank: 7 },
  alarm: { shape: "hexagon", colour: "--alarm", rank: 8 },
};

/** The latest value of a property if it can be trusted, else null. */
export function trusted(device, property) {
  const latest = device.v[property];
  return latest !== undefined && latest[1] < SUSPECT ? latest[0] : null;
}

/** A cabinet, or a meter of which nothing says what hangs behind it. */
export function isCabinet(device) {
  return device.domain === "streetlight" && !isLamp(device);
}

/** Whether a group may be called by this device's name: it speaks of a cabinet's door, phases or feeder. */
export function speaksAsCabinet(device) {
  return CABINET_WORDS.some((word) => word in device.v);
}

/** A lamp speaks of its light. One that has not spoken yet is taken for a lamp: most are. */
export function isLamp(device) {
  if (device.domain !== "streetlight" || speaksAsCabinet(device)) return false;
  return Object.keys(device.v).length === 0 || LAMP_WORDS.some((word) => word in device.v);
}

/** Measured power decides, then what the lamp says of itself; null if neither is known. */
export function isLit(device) {
  const power = trusted(device, "power");
  if (power !== null) return power > LIT_ABOVE_WATTS;
  const on = trusted(device, "lamp_on");
  return on === null ? null : on >= 0.5;
}

function isSwitchedOn(device) {
  return trusted(device, "lamp_on") >= 0.5 || trusted(device, "lamp_failure") >= 0.5;
}

/** No word for three of its intervals, and for a quarter of an hour at least. */
export function isSilent(device, now) {
  return device.s === "silent" || now - device.t > Math.max(SILENT_AFTER_INTERVALS * device.interval_seconds * 1000, SILENT_AT_LEAST);
}

/** By day a feeder that is cut says nothing; who has never spoken may hang on one, and has had no chance yet. */
function cutByDay(device, sky) {
  return device.powered === "with_circuit" && sky !== null && !sky.night && (device.t === null || device.t >= sky.lastNight);
}

export function alarmsOf(device) {
  return ALARMS.filter((property) => trusted(device, property) >= 0.5);
}

/**
 * One word: never, offline, silent, resting, failed, dark, burning, alarm, suspect, lit or ok.
 * Whether it speaks comes first, then whether it does its work, then what it says.
 */
export function condition(device, now, sky) {
  if (device.t === null || device.s === "never") return cutByDay(device, sky) ? "resting" : "never";
  if (device.s === "offline") return cutByDay(device, sky) ? "resting" : "offline";
  if (isSilent(device, now)) return cutByDay(device, sky) ? "resting" : "silent";
  const lit = isLamp(device) ? isLit(device) : null;
  if (sky?.night && lit === false) return isSwitchedOn(device) ? "failed" : "dark";
  if (alarmsOf(device).length > 0) return "alarm";
  if (sky?.day && lit === true) return "burning";
  if (device.s === "suspect" || Object.values(device.v).some((latest) => latest[1] >= SUSPECT)) return "suspect";
  return lit === true ? "lit" : "ok";
}

/** The picture of a condition: a failed lamp and a switched-off one are both a dark pole. */
export function lookOf(word) {
  return word === "failed" ? "dark" : word;
}
