/** The map: no tiles from anywhere, only the ground the devices themselves draw, and a mark for each of them. */

import { LOOKS, isCabinet, isLamp, lookOf } from "./condition.js";
import { byId, keyed, make, setText } from "./dom.js";
import { outline, streets } from "./ground.js";
import { moved, placeText } from "./places.js";
import { mark, shapePath, signPath } from "./shapes.js";
import { number, t } from "./words.js";

const { L } = globalThis;
const STATION_RADIUS = 13;
const TROUBLE_RADIUS = 8;
const HALO_RADIUS = 19;
const WIDE = 500;
/** Lamps and cabinets in order keep their size on the ground within these pixels: with the whole of a large commune in view they shrink. */
const LAMP = { metres: 11, least: 2, most: 6 };
const CABINET = { metres: 48, least: 4.5, most: STATION_RADIUS };
/** Smaller marks carry neither an edge nor a sign. */
const SMALLEST_EDGED = 2.6;
const SMALLEST_SIGNED = 9;
const GRID_METRES = 1000;
const GRID_LINES = 12;
const CLOSEST = 18;

/** Leaflet's canvas knows circles and lines; marks are outlines of their own. */
const Mark = L.CircleMarker.extend({
  _updatePath() {
    const { _drawing: drawing, _ctx: canvas } = this._renderer;
    if (!drawing || this._empty()) return;
    const { look, sign, colour } = this.options;
    canvas.save();
    canvas.translate(this._point.x, this._point.y);
    canvas.scale(this._radius / 12, this._radius / 12);
    canvas.translate(-12, -12);
    canvas.lineWidth = sign ? 2.5 : 4;
    canvas.lineJoin = "round";
    canvas.strokeStyle = colour.edge;
    canvas.fillStyle = colour.fill;
    if (this._radius >= SMALLEST_EDGED) canvas.stroke(shapePath(look));
    canvas.fill(shapePath(look), "evenodd");
    if (sign && this._radius >= SMALLEST_SIGNED) {
      canvas.translate(12, 12);
      canvas.scale(0.62, 0.62);
      canvas.translate(-12, look === "dark" ? -9 : -12);
      canvas.fillStyle = colour.sign;
      canvas.fill(sign, "evenodd");
    }
    canvas.restore();
  },
});

function coloursOfThePage() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

export class VillageMap {
  /** `open(device)` shows a device. */
  constructor(open) {
    this.open = open;
    this.colour = coloursOfThePage();
    this.marks = new Map();
    this.legend = byId("legend");
    // One finger must scroll the page on a phone; two fingers and the buttons move the map there.
    const oneFingerScrolls = matchMedia("(pointer: coarse)").matches;
    this.map = L.map(byId("map"), {
      preferCanvas: true, attributionControl: false, zoomControl: false, scrollWheelZoom: false, dragging: !oneFingerScrolls,
      maxZoom: CLOSEST, zoomSnap: 0.25, fadeAnimation: false,
      zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    this.map.on("focus", () => this.map.scrollWheelZoom.enable());
    this.map.on("blur", () => this.map.scrollWheelZoom.disable());
    this.map.on("zoomend", () => this.resize());
    L.control.scale({ imperial: false, position: "bottomright" }).addTo(this.map);
    this.zoom = null;
    this.map.createPane("ground").style.zIndex = "350";
    this.below = L.canvas({ pane: "ground" });
    this.ground = L.layerGroup().addTo(this.map);
    this.layer = L.featureGroup().addTo(this.map);
    this.rings = L.layerGroup().addTo(this.map);
    this.layer.bindTooltip((layer) => this.tip(layer.device), { direction: "top", offset: [0, -8], className: "tip" });
    this.layer.on("click", (event) => this.open(event.layer.device));
    new ResizeObserver(() => this.fit()).observe(byId("map"));
  }

  /** Show another fleet: draw its ground, forget the marks of the one before. */
  show(fleet) {
    this.fleet = fleet;
    this.layer.clearLayers();
    this.rings.clearLayers();
    this.marks.clear();
    const placed = [...fleet.devices.values()].filter((device) => device.latitude !== null && device.longitude !== null);
    byId("map-empty").hidden = placed.length > 0;
    this.drawGround(placed);
    this.fit();
    const height = (device) => LOOKS[lookOf(fleet.conditionOf(device))].rank + (isLamp(device) ? 0 : 1.5);
    for (const device of placed.sort((a, b) => height(a) - height(b))) this.place(device);
  }

  fit() {
    this.map.invalidateSize({ animate: false });
    if (this.bounds === null || this.bounds === undefined) {
      if (this.fleet?.centre) this.map.setView(this.fleet.centre, 14, { animate: false });
      return;
    }
    this.map.fitBounds(this.bounds, { padding: [6, 6], maxZoom: CLOSEST - 1, animate: false });
  }

  drawGround(placed) {
    this.ground.clearLayers();
    this.bounds = null;
    const { centre } = this.fleet;
    if (centre === null) return;
    const quiet = { interactive: false, renderer: this.below };
    const reach = GRID_METRES * GRID_LINES;
    for (let at = -reach; at <= reach; at += GRID_METRES) {
      for (const line of [[[at, -reach], [at, reach]], [[-reach, at], [reach, at]]]) {
        const ends = line.map(([east, north]) => moved(centre, east, north));
        this.ground.addLayer(L.polyline(ends, { ...quiet, color: this.colour("--map-grid"), weight: 1 }));
      }
    }
    const edge = outline(placed, centre);
    if (edge.length > 0) {
      this.bounds = L.latLngBounds(edge);
      this.ground.addLayer(L.polygon(edge, {
        ...quiet, color: this.colour("--map-edge"), weight: 1.5, dashArray: "2 6", fillColor: this.colour("--map-land"), fillOpacity: 1,
      }));
    }
    this.ground.addLayer(L.polyline(streets(placed, centre), { ...quiet, color: this.colour("--map-street"), weight: 7 }));
    const icon = L.divIcon({ className: "centre", html: make("i"), iconSize: [0, 0] });
    this.ground.addLayer(L.marker(centre, { interactive: false, keyboard: false, pane: "ground", icon }));
    this.explainCentre();
  }

  /** What the sign of the centre means, in a corner where no mark can cover it. */
  explainCentre() {
    this.key?.remove();
    if (!this.fleet?.centre) return;
    this.key = L.control({ position: "bottomleft" });
    const { commune } = this.fleet;
    this.key.onAdd = () => make("div", { class: "centre key" }, make("i"), make("span", { text: t("map.centre", { commune: commune.name || commune.commune }) }));
    this.key.addTo(this.map);
  }

  place(device) {
    const layer = new Mark([device.latitude, device.longitude], this.style(device));
    layer.device = device;
    this.marks.set(device.device, layer);
    this.layer.addLayer(layer);
  }

  style(device) {
    const look = lookOf(this.fleet.conditionOf(device));
    const { colour } = LOOKS[look];
    // A cross and a ring have no room for a sign.
    const bare = isLamp(device) || look === "offline" || look === "never";
    const sign = bare ? undefined : signPath(isCabinet(device) ? "cabinet" : device.domain);
    return {
      look, sign, radius: this.radius(device, look),
      colour: { fill: this.colour(colour), edge: this.colour(look === "lit" ? "--lit-edge" : "--map-halo"), sign: this.colour("--map-sign") },
    };
  }

  radius(device, look) {
    const wide = this.map.getSize().x >= WIDE;
    const well = LOOKS[look].rank <= LOOKS.lit.rank;
    if (!isLamp(device) && !(well && isCabinet(device))) return wide ? STATION_RADIUS : STATION_RADIUS - 2;
    if (!well) return wide ? TROUBLE_RADIUS : TROUBLE_RADIUS - 1;
    const { metres, least, most } = isLamp(device) ? LAMP : CABINET;
    const metresPerPixel = (40_075_016 * Math.cos((device.latitude * Math.PI) / 180)) / (256 * 2 ** this.map.getZoom());
    return Math.min(most, Math.max(least, metres / metresPerPixel));
  }

  resize() {
    for (const layer of this.marks.values()) layer.setRadius(this.radius(layer.device, layer.options.look));
  }

  /** Redraw only the marks whose look changed; trouble comes to the front. */
  draw() {
    const raised = [];
    const counts = new Map();
    for (const device of this.fleet.devices.values()) {
      const look = lookOf(this.fleet.conditionOf(device));
      counts.set(look, (counts.get(look) ?? 0) + 1);
      const layer = this.marks.get(device.device);
      if (layer === undefined) continue;
      const style = this.style(device);
      if (layer.options.look !== look || (layer.options.sign === undefined) !== (style.sign === undefined)) {
        L.setOptions(layer, style);
        layer.setRadius(style.radius);
        layer.redraw();
        raised.push([LOOKS[look].rank, layer]);
      }
    }
    for (const [rank, layer] of raised.sort((a, b) => a[0] - b[0])) {
      if (rank > 0) layer.bringToFront();
      else layer.bringToBack();
    }
    this.drawLegend(counts);
  }

  drawLegend(counts) {
    const present = Object.keys(LOOKS).filter((look) => counts.has(look)).sort((a, b) => LOOKS[b].rank - LOOKS[a].rank);
    keyed(this.legend, present, (look) => look, (look) => make("li", {}, mark(look), make("span"), make("b")), (row, look) => {
      setText(row.children[1], t(`look.${look}`));
      setText(row.children[2], number(counts.get(look), 0));
    });
  }

  tip(device) {
    return make("div", {}, make("b", { text: device.label }),
      make("span", { text: t(`look.${lookOf(this.fleet.conditionOf(device))}`) }), make("small", { text: placeText(this.fleet, device) }));
  }

  /** A halo under the devices an errand speaks of; many of them run together into one. */
  point(devices) {
    this.rings.clearLayers();
    for (const device of devices) {
      if (device.latitude === null || device.longitude === null) continue;
      this.rings.addLayer(L.circleMarker([device.latitude, device.longitude], {
        interactive: false, renderer: this.below, radius: HALO_RADIUS, stroke: false, fillColor: this.colour("--map-pointed"), fillOpacity: 1,
      }));
    }
  }

  /** The zoom buttons and the key of the centre speak the reader's language. */
  translate() {
    this.zoom?.remove();
    this.zoom = L.control.zoom({ position: "topright", zoomInTitle: t("map.in"), zoomOutTitle: t("map.out") }).addTo(this.map);
    this.explainCentre();
  }
}
