"""A small gateway for the board's tests: serves the page and the API's answers at a moment of the test's choice."""

import json
import math
import queue
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from devices.vocabulary import VOCABULARY
from tests.board_village import BoardDevice

WEB = Path(__file__).parent.parent / "gateway" / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""As strict as the real server's."""
EVENING = datetime(2025, 11, 20, 13, 30, tzinfo=UTC)
"""20:30 in Viet Nam, an hour after lamps ought to be lit."""
NOON = datetime(2025, 11, 20, 5, 0, tzinfo=UTC)
"""12:00 in Viet Nam."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"} | {
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_CENTRE = (20.9762, 106.2980)
_METRES = 111_195.0


def rfc3339(moment: datetime) -> str:
    """As the API writes times: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(kind: str, body: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(body)}\n\n"


def _wobble(at: datetime, end: datetime) -> float:
    """A small uneven ripple that is the same in every run and dies out towards the end."""
    minutes = (end - at).total_seconds() / 60
    return 0.05 * math.sin(minutes / 31) * math.sin(minutes / 77) + 0.02 * math.sin(minutes * minutes / 900)


class BoardServer:
    """Serves the board and a scripted API on a free loopback port; ``change`` pushes to every open live stream."""

    def __init__(self, devices: list[BoardDevice], moment: datetime = EVENING, token: str | None = None) -> None:
        self.devices = {device.device: device for device in devices}
        self.moment = moment
        self.token = token
        self.communes = [("10642", "Xã Thái Tân", *_CENTRE)]
        self.alerts: list[dict[str, Any]] = []
        self.acknowledged: list[dict[str, Any]] = []
        self.status = "ok"
        self.refuses_streams = False
        self._streams: list[queue.Queue[str | None]] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            server_of_board = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop_streams()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    # --- what a test does ---

    def change(self, name: str, state: str | None = None, **values: float) -> None:
        """The device speaks now: its state and values go out to every open board."""
        device = self.devices[name]
        device.heard = timedelta(0)
        device.state = state or device.state
        device.values |= {key: (value, 1) for key, value in values.items()}
        self._send("change", {"now": rfc3339(self.moment), "devices": {name: self.live(device)}})

    def say_health(self, status: str) -> None:
        """The gateway's own state changes and goes out."""
        self.status = status
        self._send("health", self.health_event())

    def say_alerts(self) -> None:
        """What fires goes out."""
        self._send("alerts", {"total": len(self.alerts), "items": self.alerts})

    def drop_streams(self) -> None:
        """Every live stream breaks off."""
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.put(None)

    def _send(self, kind: str, body: dict[str, Any]) -> None:
        with self._lock:
            for stream in self._streams:
                stream.put(_event(kind, body))

    def listen(self) -> "queue.Queue[str | None]":
        """A new live stream's queue."""
        stream: queue.Queue[str | None] = queue.Queue()
        with self._lock:
            self._streams.append(stream)
        return stream

    # --- what the API says ---

    def _seen(self, device: BoardDevice) -> datetime | None:
        return None if device.heard is None else self.moment - device.heard

    def live(self, device: BoardDevice) -> dict[str, Any]:
        """LIVE of the contract."""
        seen = self._seen(device)
        at = None if seen is None else int(seen.timestamp() * 1000)
        return {"s": device.state, "t": at, "v": {key: [*value, at] for key, value in device.values.items()}}

    def item(self, device: BoardDevice) -> dict[str, Any]:
        """DEVICE of the contract."""
        seen = self._seen(device)
        same = (
            "device",
            "label",
            "commune",
            "zone",
            "group",
            "domain",
            "profile",
            "powered",
            "interval_seconds",
            "state",
        )
        return {name: getattr(device, name) for name in same} | {
            "latitude": round(_CENTRE[0] + device.north / _METRES, 6),
            "longitude": round(_CENTRE[1] + device.east / _METRES / math.cos(math.radians(_CENTRE[0])), 6),
            "simulated": True,
            "last_seen": None if seen is None else rfc3339(seen),
        }

    def health_event(self) -> dict[str, Any]:
        """The live stream's ``health``."""
        return {
            "status": self.status,
            "ledger": {"received": 48_211, "kept": 48_190, "refused": 14, "repeated": 7},
            "waiting": 0,
        }

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        """The body for a path; None where there is nothing."""
        if path == "/health":
            parts = [
                {"part": "broker", "state": "ok" if self.status == "ok" else "waiting", "detail": "connection refused"}
            ]
            return {"status": self.status, "version": "0.1.0", "now": rfc3339(self.moment), "parts": parts}
        if path == "/vocabulary":
            names = ("name", "measurement", "unit", "symbol", "en", "vi", "low", "high")
            return {"properties": [{name: getattr(entry, name) for name in names} for entry in VOCABULARY.values()]}
        if path == "/communes":
            keys = ("commune", "name", "latitude", "longitude")
            return {
                "items": [
                    dict(zip(keys, row, strict=True)) | {"devices": 1, "silent": 0, "suspect": 0}
                    for row in self.communes
                ]
            }
        if path == "/devices":
            found = [
                self.item(device)
                for device in self.devices.values()
                if device.commune == query.get("commune", device.commune)
            ]
            offset, limit = int(query.get("offset", "0")), int(query.get("limit", "200"))
            return {"total": len(found), "items": found[offset : offset + limit]}
        if path == "/series":
            return self.series(self.devices[query["device"]], query)
        device = self.devices.get(unquote(path.removeprefix("/devices/")))
        return (
            None
            if device is None
            else self.item(device) | {"maker": "Rạng Đông", "model": "LED 60", "hardware_ids": ["A84041000181"]}
        )

    def series(self, device: BoardDevice, query: dict[str, str]) -> dict[str, Any]:
        """A day's swing around the latest value; a lamp's power follows the night and its ``out_since``."""
        start, stop = (datetime.fromisoformat(query[key].replace("Z", "+00:00")) for key in ("start", "stop"))
        every = max(300, math.ceil((stop - start).total_seconds() / int(query.get("points", "500")) / 60) * 60)
        latest = device.values.get(query["property"], (1.0, 1))[0]
        points: list[list[float]] = []
        at = datetime.fromtimestamp(start.timestamp() // every * every, UTC)
        while at < stop and (device.heard is None or at <= self.moment - device.heard):
            mean = latest
            if device.device.startswith("den-"):
                lit = at.hour >= 11 or at.hour < 22 - 24
                ended = device.out_since is not None and at >= self.moment - device.out_since
                mean = 58.0 if lit and device.out_since is not None and not ended else 0.5
            elif query["property"] not in ("door_open",):
                hours = at.hour + at.minute / 60
                ends = (self.moment.hour + self.moment.minute / 60 - 9) / 3.82
                mean = latest * (1 + 0.25 * (math.sin((hours - 9) / 3.82) - math.sin(ends)) + _wobble(at, self.moment))
            points.append([int(at.timestamp() * 1000), mean, mean * 0.93, mean * 1.07])
            at += timedelta(seconds=every)
        return {
            "device": device.device, "property": query["property"], "unit": VOCABULARY[query["property"]].unit,
            "every_seconds": every, "points": points,
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    """One request; the server it belongs to is set by a subclass."""

    server_of_board: BoardServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: a test's output is its own."""

    def do_GET(self) -> None:
        """Page, static file, API answer or live stream."""
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/" or parts.path.startswith("/static/"):
            return self._file("index.html" if parts.path == "/" else parts.path.removeprefix("/static/"))
        board = self.server_of_board
        if board.token is not None and self._token(query) != board.token:
            return self._json(HTTPStatus.UNAUTHORIZED, {"error": {"code": "unauthorized", "message": "send the token"}})
        if parts.path == "/live":
            return self._stream(query.get("commune"))
        body = board.answer(parts.path, query)
        if body is None:
            return self._json(HTTPStatus.NOT_FOUND, {"error": {"code": "not_found", "message": "no such thing"}})
        return self._json(HTTPStatus.OK, body)

    def do_POST(self) -> None:
        """Somebody takes care of an alert."""
        board = self.server_of_board
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if board.token is not None and self._token({}) != board.token:
            return self._json(HTTPStatus.UNAUTHORIZED, {"error": {"code": "unauthorized", "message": "send the token"}})
        board.acknowledged.append(said)
        for alert in board.alerts:
            if alert["id"] == said["id"]:
                alert |= {"state": "acknowledged", "acknowledged_by": said["by"]}
        self._json(HTTPStatus.OK, {"done": True})
        return board.say_alerts()

    def _token(self, query: dict[str, str]) -> str | None:
        return query.get("token") or self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self._head(status, "application/json", len(data))
        self.wfile.write(data)

    def _file(self, name: str) -> None:
        path = (WEB / name).resolve()
        if not path.is_relative_to(WEB) or not path.is_file():
            return self._json(HTTPStatus.NOT_FOUND, {"error": {"code": "not_found", "message": name}})
        data = path.read_bytes()
        self._head(HTTPStatus.OK, _TYPES.get(path.suffix, "application/octet-stream"), len(data))
        self.wfile.write(data)
        return None

    def _stream(self, commune: str | None) -> None:
        board = self.server_of_board
        if board.refuses_streams:
            return self._json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": {"code": "unavailable", "message": "later"}})
        events = board.listen()
        self._head(HTTPStatus.OK, "text/event-stream", None)
        devices = {
            name: board.live(device) for name, device in board.devices.items() if commune in (None, device.commune)
        }
        snapshot = {"now": rfc3339(board.moment), "devices": devices}
        alerts = _event("alerts", {"total": len(board.alerts), "items": board.alerts})
        text: str | None = _event("snapshot", snapshot) + _event("health", board.health_event()) + alerts
        while text is not None:
            try:
                self.wfile.write(text.encode())
                self.wfile.flush()
                text = events.get(timeout=5)
            except queue.Empty:
                text = _event("health", board.health_event())
            except OSError:
                return None
        return None
