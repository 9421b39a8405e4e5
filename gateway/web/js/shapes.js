/** The shapes of the conditions and the signs of the domains: one set of outlines for map, legend and lists. */

import { LOOKS } from "./condition.js";
import { draw } from "./dom.js";

function star(points, outer, inner) {
  const corners = Array.from({ length: points * 2 }, (_, at) => {
    const radius = at % 2 === 0 ? outer : inner;
    const angle = (at * Math.PI) / points - Math.PI / 2;
    return `${(12 + radius * Math.cos(angle)).toFixed(2)} ${(12 + radius * Math.sin(angle)).toFixed(2)}`;
  });
  return `M${corners.join("L")}z`;
}

/** On a 24 by 24 sheet. */
const OUTLINES = {
  circle: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18z",
  ring: "M12 2.5a9.5 9.5 0 1 0 0 19a9.5 9.5 0 1 0 0-19zM12 7.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9z",
  triangle: "M12 1.5L23 21.5H1z",
  diamond: "M12 .8L23.2 12L12 23.2L.8 12z",
  square: "M3.5 3.5h17v17h-17z",
  cross: "M6.2 2L12 7.8L17.8 2L22 6.2L16.2 12L22 17.8L17.8 22L12 16.2L6.2 22L2 17.8L7.8 12L2 6.2z",
  star: star(8, 11.5, 6.5),
  hexagon: star(3, 11.5, 11.5),
};

/** What a station measures, as a sign inside its mark. */
const SIGNS = {
  water_quality: "M12 3.5C15 8 17.5 11 17.5 14.5a5.5 5.5 0 0 1-11 0C6.5 11 9 8 12 3.5z",
  water_supply: "M5 8h8V5.5h-2.5v-2h7v2H15V8h1.5A3.5 3.5 0 0 1 20 11.5V14h-3.5v-2H5zM18.2 16c1 1.5 1.7 2.3 1.7 3.2a1.7 1.7 0 0 1-3.4 0c0-.9.7-1.7 1.7-3.2z",
  air_quality: "M3 8.2h10.5a2 2 0 1 0-2-2H9.3a4.2 4.2 0 1 1 4.2 4.2H3zM3 12h14.5a3.6 3.6 0 1 1-3.6 3.6h2.2a1.4 1.4 0 1 0 1.4-1.4H3zM3 16h7v2.2H3z",
  streetlight: "M5 21.5V9.5A6.5 6.5 0 0 1 11.5 3H15v2.3h-3.5A4.2 4.2 0 0 0 7.3 9.5v12zM13.5 6.5h6L22 12H11z",
  cabinet: "M13.8 1.5L4.8 13.8h5.7L9.2 22.5l9.5-13h-6.2z",
  weather: "M3 8.2h10.5a2 2 0 1 0-2-2H9.3a4.2 4.2 0 1 1 4.2 4.2H3zM3 14h13v2.2H3z",
};

const shapePaths = new Map();
const signPaths = new Map();

function pathOf(store, outlines, name) {
  if (!store.has(name) && outlines[name]) store.set(name, new Path2D(outlines[name]));
  return store.get(name);
}

export function shapePath(look) {
  return pathOf(shapePaths, OUTLINES, LOOKS[look].shape);
}

/** Undefined for what has no sign. `what` is a domain, or "cabinet". */
export function signPath(what) {
  return pathOf(signPaths, SIGNS, what);
}

/** A condition's mark for lists and legend; its meaning always stands beside it in words, so it is hidden from readers. */
export function mark(look) {
  return draw("svg", { class: `mark look-${look}`, viewBox: "0 0 24 24", "aria-hidden": "true" },
    draw("path", { d: OUTLINES[LOOKS[look].shape], "fill-rule": "evenodd" }));
}

export function paintMark(svg, look) {
  const wanted = `mark look-${look}`;
  if (svg.getAttribute("class") === wanted) return;
  svg.setAttribute("class", wanted);
  svg.firstElementChild.setAttribute("d", OUTLINES[LOOKS[look].shape]);
}

export function sign(domain) {
  return draw("svg", { class: "sign", viewBox: "0 0 24 24", "aria-hidden": "true" },
    draw("path", { d: SIGNS[domain] ?? OUTLINES.circle, "fill-rule": "evenodd" }));
}
