/** What needs doing, most urgent first: conditions of single devices gathered into things one person can go and do. */

import { LOW_BATTERY, alarmsOf, isLamp, lookOf, trusted } from "./condition.js";

/** Chosen: from this many lamps and this share of a group in the same condition, the cause is the group's, not the lamps'. */
const GROUP_FROM = 3;
const GROUP_SHARE = 0.25;
/** Chosen: from this share of a commune's devices without a word, the cause is the line to the gateway. */
const MOST = 0.8;

/** Danger first, then dark streets, then what nobody hears of, then waste, then doubt. */
const URGENCY = [
  "everything_silent", "door_open", "leak", "dark_group", "silent_group", "offline_group", "failed", "lamp_failure", "dark",
  "tamper", "control_gear_failure", "offline", "silent", "burning_group", "burning", "suspect", "battery", "never_group", "never",
];

/** Conditions of lamps that have one cause when a whole group shares them. */
const SHARED = { dark: "dark_group", failed: "dark_group", burning: "burning_group", silent: "silent_group", offline: "offline_group" };

function concern(kind, look, devices, more = {}) {
  return { key: `${kind} ${more.group ?? devices[0].device}`, kind, look, devices, group: null, total: devices.length, ...more };
}

/** The worst reading a device gives: what the sentence about suspect values names. */
export function doubtfulValue(device) {
  let worst = null;
  for (const [property, latest] of Object.entries(device.v)) {
    if (latest[1] >= 3 && (worst === null || latest[1] > worst.quality)) {
      worst = { property, value: latest[0], quality: latest[1], ms: latest[2] };
    }
  }
  return worst;
}

function ofDevice(fleet, device) {
  const word = fleet.conditionOf(device);
  const found = [];
  if (["failed", "dark", "burning", "offline", "silent", "never"].includes(word)) found.push(concern(word, lookOf(word), [device]));
  if (!fleet.speaks(device)) return found;
  for (const property of alarmsOf(device)) {
    // A dark lamp that also reports its failure is one errand.
    if (!(property === "lamp_failure" && found.length > 0)) found.push(concern(property, "alarm", [device]));
  }
  if (word === "suspect" && doubtfulValue(device) !== null) found.push(concern("suspect", "suspect", [device]));
  const battery = trusted(device, "battery");
  if (battery !== null && battery < LOW_BATTERY) found.push(concern("battery", "suspect", [device], { value: battery }));
  return found;
}

/** Many lamps of one group in one condition become one errand to the cabinet. */
function gather(fleet, singles) {
  const lampsOf = new Map();
  for (const device of fleet.devices.values()) {
    if (device.group && isLamp(device)) lampsOf.set(device.group, (lampsOf.get(device.group) ?? 0) + 1);
  }
  const shared = new Map();
  const rest = [];
  for (const single of singles) {
    const [device] = single.devices;
    const kind = SHARED[single.kind];
    if (kind === undefined || !device.group || !isLamp(device)) rest.push(single);
    else if (shared.has(`${kind} ${device.group}`)) shared.get(`${kind} ${device.group}`).push(single);
    else shared.set(`${kind} ${device.group}`, [single]);
  }
  for (const [key, members] of shared) {
    const [kind] = key.split(" ", 1);
    const { group } = members[0].devices[0];
    if (members.length < Math.max(GROUP_FROM, GROUP_SHARE * lampsOf.get(group))) rest.push(...members);
    else rest.push(concern(kind, members[0].look, members.flatMap((m) => m.devices), { group, total: lampsOf.get(group) }));
  }
  return rest;
}

function gatherNever(concerns) {
  const never = concerns.filter((one) => one.kind === "never");
  if (never.length < GROUP_FROM) return concerns;
  const rest = concerns.filter((one) => one.kind !== "never");
  return [...rest, concern("never_group", "never", never.flatMap((one) => one.devices))];
}

/** When it began, for the order: the longest-standing of equals comes first. */
function lastWord(one) {
  return Math.max(...one.devices.map((device) => device.t ?? 0));
}

/**
 * Everything that needs doing, sorted. Each: kind, look, devices (one, or all of a gathered errand), group, total.
 * Kinds are the keys of the `concern.*` texts.
 */
export function concernsOf(fleet) {
  const devices = [...fleet.devices.values()];
  const mute = devices.filter((device) => ["silent", "offline"].includes(fleet.conditionOf(device)));
  let found = [];
  if (devices.length >= 5 && mute.length >= MOST * devices.length) {
    found = [concern("everything_silent", "silent", mute, { total: devices.length })];
    const others = new Set(devices);
    for (const device of mute) others.delete(device);
    found.push(...[...others].flatMap((device) => ofDevice(fleet, device)));
  } else {
    found = gather(fleet, devices.flatMap((device) => ofDevice(fleet, device)));
  }
  return gatherNever(found).sort(
    (a, b) => URGENCY.indexOf(a.kind) - URGENCY.indexOf(b.kind) || lastWord(a) - lastWord(b) || (a.key < b.key ? -1 : 1),
  );
}
