/** Where a device stands, in words a person can walk by. */

import { has, number, t } from "./words.js";

const METRES_PER_DEGREE = 111_195;
const WINDS = ["n", "ne", "e", "se", "s", "sw", "w", "nw"];
/** Chosen: nearer than this to the commune's point a direction says nothing. */
const CENTRE_METRES = 150;

/** Metres east and north of a point; flat earth is right to a metre within a commune. */
export function offset(from, latitude, longitude) {
  const east = (longitude - from[1]) * METRES_PER_DEGREE * Math.cos((from[0] * Math.PI) / 180);
  return [east, (latitude - from[0]) * METRES_PER_DEGREE];
}

/** The inverse: latitude and longitude of a point so many metres east and north. */
export function moved(from, east, north) {
  return [from[0] + north / METRES_PER_DEGREE, from[1] + east / (METRES_PER_DEGREE * Math.cos((from[0] * Math.PI) / 180))];
}

function bearing(centre, device) {
  if (centre === null || device.latitude === null || device.longitude === null) return null;
  const [east, north] = offset(centre, device.latitude, device.longitude);
  const metres = Math.hypot(east, north);
  if (metres < CENTRE_METRES) return t("place.centre");
  const wind = WINDS[Math.round((Math.atan2(east, north) * 4) / Math.PI + 8) % 8];
  const distance = metres < 950 ? `${number(Math.round(metres / 50) * 50)} m` : `${number(metres / 1000, 1)} km`;
  return t("place.bearing", { distance, direction: t(`wind.${wind}`) });
}

/** The zone's word in the reader's language, or the commune's own word as it is. */
export function zoneText(zone) {
  return has(`zone.${zone}`) ? t(`zone.${zone}`) : zone;
}

/** The group by the name of its cabinet, if a cabinet stands for it. */
export function groupText(fleet, group) {
  const cabinet = fleet.cabinetOf(group);
  return cabinet === null ? t("place.group", { group }) : cabinet.label;
}

/** "Tủ chiếu sáng số 2 · khu dân cư · cách giữa xã 1,2 km về phía đông bắc". */
export function placeText(fleet, device) {
  const group = device.group ? groupText(fleet, device.group) : "";
  const words = [
    group === device.label ? "" : group,
    device.zone ? zoneText(device.zone) : "",
    bearing(fleet.centre, device) ?? "",
  ].filter((part) => part !== "").join(" · ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
