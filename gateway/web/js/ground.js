/** The ground of the map, read off the devices: an outline around them and the streets their lamps stand along. */

import { moved, offset } from "./places.js";

/** Chosen: land shown around the outermost devices. */
const MARGIN_METRES = 130;
const CORNER_POINTS = 16;
/** Poles stand 25 to 35 m apart; a gap up to this is still the same street. */
const SAME_STREET_METRES = 90;
/** Finding the nearest neighbours of a group takes its size squared; larger groups go without streets. */
const LARGEST_GROUP = 600;

/** Convex hull of points [east, north], counter-clockwise (Andrew's monotone chain). */
function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered) => {
    const chain = [];
    for (const p of ordered) {
      while (chain.length >= 2) {
        const [a, b] = chain.slice(-2);
        if ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0) break;
        chain.pop();
      }
      chain.push(p);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** The area the devices cover, with a margin and round corners, as latitudes and longitudes. Not an official border. */
export function outline(devices, centre) {
  if (devices.length === 0) return [];
  const points = devices.map((device) => offset(centre, device.latitude, device.longitude));
  const corners = points.length < 3 ? points : hull(points);
  const rounded = (corners.length === 0 ? points : corners).flatMap(([east, north]) =>
    Array.from({ length: CORNER_POINTS }, (_, at) => {
      const angle = (2 * Math.PI * at) / CORNER_POINTS;
      return [east + MARGIN_METRES * Math.cos(angle), north + MARGIN_METRES * Math.sin(angle)];
    }));
  return hull(rounded).map(([east, north]) => moved(centre, east, north));
}

/** Join each lamp of a group to its nearest neighbour already joined (Prim): lamps stand along streets. */
function join(points) {
  const lines = [];
  const nearest = points.map(() => ({ metres: Infinity, to: -1 }));
  const open = new Set(points.keys());
  let at = 0;
  while (open.size > 0) {
    open.delete(at);
    let next = -1;
    for (const other of open) {
      const metres = Math.hypot(points[other][0] - points[at][0], points[other][1] - points[at][1]);
      if (metres < nearest[other].metres) nearest[other] = { metres, to: at };
      if (next === -1 || nearest[other].metres < nearest[next].metres) next = other;
    }
    if (next === -1) break;
    if (nearest[next].metres <= SAME_STREET_METRES) lines.push([next, nearest[next].to]);
    at = next;
  }
  return lines;
}

/** Short straight pieces of street as pairs of [latitude, longitude]. */
export function streets(devices, centre) {
  const groups = new Map();
  for (const device of devices) {
    if (device.domain !== "streetlight" || !device.group) continue;
    if (groups.has(device.group)) groups.get(device.group).push(device);
    else groups.set(device.group, [device]);
  }
  return [...groups.values()].filter((group) => group.length <= LARGEST_GROUP).flatMap((group) => {
    const points = group.map((device) => offset(centre, device.latitude, device.longitude));
    return join(points).map(([a, b]) => [a, b].map((at) => [group[at].latitude, group[at].longitude]));
  });
}
