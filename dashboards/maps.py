"""Maps that need no internet: markers from stored positions, outlines from a file in Grafana's public folder."""

import math
from typing import Any

from dashboards.panels import Json
from devices.limit_tables import Commune
from devices.standards import shipped

OUTLINE = "public/maps/village.geojson"
"""Where the outline is mounted in Grafana, as a browser asks for it."""
TILES = "public/maps/tiles/{z}/{x}/{y}.png"
"""Where an own map background may be mounted; where there is none the background stays empty, and nothing is fetched
from the internet."""
KILOMETRES_PER_DEGREE = 111.195
"""Of latitude: the Earth's mean circumference over 360."""
CORNERS = 24


def map_options(colour_field: str, tooltip: str = "details") -> Json:
    """Options of a geomap whose query has the columns ``latitude`` and ``longitude``.

    Args:
        colour_field: the column that colours a marker.
        tooltip: ``details`` shows every column under the pointer.
    """
    markers: dict[str, Any] = {
        "type": "markers",
        "name": "markers",
        "tooltip": True,
        "location": {"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
        "config": {
            "showLegend": True,
            "style": {
                "color": {"field": colour_field, "fixed": "dark-green"},
                "opacity": 0.9,
                "rotation": {"fixed": 0, "max": 360, "min": -360, "mode": "mod"},
                "size": {"fixed": 6, "max": 15, "min": 2},
                "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
                "symbolAlign": {"horizontal": "center", "vertical": "center"},
            },
        },
    }
    outline: dict[str, Any] = {
        "type": "geojson",
        "name": "outline",
        "tooltip": False,
        "config": {
            "src": OUTLINE,
            "rules": [],
            "style": {
                "color": {"fixed": "#8E8E8E"},
                "opacity": 0.15,
                "rotation": {"fixed": 0, "max": 360, "min": -360, "mode": "mod"},
                "size": {"fixed": 5, "max": 15, "min": 2},
                "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
                "lineWidth": 1,
            },
        },
    }
    return {
        "basemap": {"type": "xyz", "name": "background", "config": {"url": TILES, "attribution": ""}},
        "controls": {
            "mouseWheelZoom": True,
            "showAttribution": False,
            "showDebug": False,
            "showMeasure": False,
            "showScale": True,
            "showZoom": True,
        },
        "layers": [outline, markers],
        "tooltip": {"mode": tooltip},
        "view": {
            "allLayers": False, "id": "fit", "lastOnly": False, "lat": 20.94, "layer": "markers", "lon": 106.31,
            "padding": 10, "zoom": 12,
        },
    }  # fmt: skip


def outline() -> Json:
    """A GeoJSON stand-in for the communes' outlines: circles of their area around their points.

    Official boundaries are not at hand; whoever has them puts his own file in this one's place.
    """
    rows = [entry for entry in shipped().communes.communes if entry.area_km2 and entry.latitude and entry.longitude]
    return {"type": "FeatureCollection", "features": [_circle(entry) for entry in rows]}


def _circle(entry: Commune) -> Json:
    latitude, longitude = entry.latitude or 0.0, entry.longitude or 0.0
    radius = math.sqrt((entry.area_km2 or 0.0) / math.pi) / KILOMETRES_PER_DEGREE
    narrowing = math.cos(math.radians(latitude))
    angles = [2 * math.pi * number / CORNERS for number in range(CORNERS)]
    ring = [
        [round(longitude + radius * math.cos(at) / narrowing, 4), round(latitude + radius * math.sin(at), 4)]
        for at in angles
    ]
    return {
        "type": "Feature",
        "properties": {"name": f"{entry.kind} {entry.name}", "commune": entry.code, "approximate": True},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }
