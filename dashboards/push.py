"""Dashboards to a running Grafana, through grafana-api: idempotent, and what staff changed is never overwritten unasked.

Grafana keeps every version of a dashboard with its author's message; ours names the content that was pushed. If the
newest version has our message, nobody has changed the dashboard since; any other message is a person's work.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaClientError, GrafanaException, GrafanaServerError, GrafanaUnauthorizedError
from grafana_api.grafana_face import GrafanaFace

from dashboards.panels import Json

MESSAGE = "village dashboards push"
DIGITS = 16
TIMEOUT_SECONDS = 10.0


class PushError(Exception):
    """Nothing more can be pushed: one line with what to do. What was pushed before stays; push again to go on."""


class Outcome(StrEnum):
    """What became of a dashboard."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    """Somebody has changed it in Grafana: left as it is."""


class Pushed(NamedTuple):
    """One dashboard's outcome."""

    uid: str
    title: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Target:
    """Which Grafana, and who we are there."""

    url: str
    token: str
    verify: bool = True

    def open(self) -> GrafanaFace:
        """The library's client.

        Raises:
            PushError: the address is none.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PushError(f"{self.url!r} is no address of a Grafana; write for example http://127.0.0.1:3000")
        prefix = parts.path.strip("/")
        return GrafanaFace(
            self.token,
            host=parts.hostname,
            port=parts.port,
            url_path_prefix=f"{prefix}/" if prefix else "",
            protocol=parts.scheme,
            verify=self.verify,
            timeout=TIMEOUT_SECONDS,
        )


def message(dashboard: Json) -> str:
    """What is written beside a version: it names the content, whatever Grafana makes of it on its side."""
    text = json.dumps(dashboard, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{MESSAGE} {hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


class Push:
    """Pushes folders and dashboards; may be repeated after any failure."""

    def __init__(self, target: Target, tell: Callable[[Pushed], None] | None = None) -> None:
        """``tell`` hears of each dashboard as it is done."""
        self._target = target
        self._grafana = target.open()
        self._tell = tell or (lambda _: None)

    def folder(self, uid: str, title: str) -> None:
        """Make a folder unless it is there.

        Raises:
            PushError: see ``_asked``.
        """
        if self._asked(lambda: self._grafana.folder.get_folder(uid), missing=True) is None:
            self._asked(lambda: self._grafana.folder.create_folder(title, uid))

    def dashboard(self, dashboard: Json, folder: str, *, force: bool = False) -> Pushed:
        """Create or update one dashboard.

        Args:
            dashboard: Classic JSON with its uid.
            folder: uid of its folder.
            force: overwrite also what somebody has changed.

        Raises:
            PushError: see ``_asked``.
        """
        uid, title = str(dashboard["uid"]), str(dashboard["title"])
        found = self._asked(lambda: self._grafana.dashboard.get_dashboard(uid), missing=True)
        if found is None:
            done = self._save(dashboard, folder, Outcome.CREATED)
        else:
            meta = found.get("meta", {})
            if meta.get("provisioned"):
                raise PushError(
                    f"{title}: Grafana has it from its own files, which push cannot change; change those files"
                )
            newest = self._newest_message(uid)
            if newest == message(dashboard) and meta.get("folderUid", folder) == folder:
                done = Outcome.UNCHANGED
            elif force or newest.startswith(MESSAGE):
                # The version tells Grafana which state this answers to: a change in between is refused by it (412).
                version = found["dashboard"].get("version", 0)
                done = self._save({**dashboard, "version": version}, folder, Outcome.UPDATED)
            else:
                done = Outcome.CONFLICT
        pushed = Pushed(uid, title, done)
        self._tell(pushed)
        return pushed

    def _newest_message(self, uid: str) -> str:
        path = f"/dashboards/uid/{uid}/versions?limit=10"
        answer = self._asked(lambda: {"answer": self._grafana.api.GET(path)}, missing=True) or {}
        listed = answer.get("answer", ())
        if isinstance(listed, Mapping):  # Grafana 11.6 and later
            listed = listed.get("versions", ())
        newest: Json = max(listed, key=lambda version: version.get("version", 0), default={})
        return str(newest.get("message", ""))

    def _save(self, dashboard: Json, folder: str, done: Outcome) -> Outcome:
        plain = {key: value for key, value in dashboard.items() if key != "version"}
        body = {
            "dashboard": {**dashboard, "id": None},
            "folderUid": folder,
            "overwrite": False,
            "message": message({**plain, "version": 0}),
        }
        try:
            self._asked(lambda: self._grafana.dashboard.update_dashboard(body), conflicts=True)
        except _ChangedError:
            return Outcome.CONFLICT
        return done

    def share(self, uid: str) -> str:
        """Make a dashboard readable for everybody without an account, by Grafana's own means (10 and later).

        Returns:
            Its public address.

        Raises:
            PushError: see ``_asked``.
        """
        path = f"/dashboards/uid/{uid}/public-dashboards"
        found = self._asked(lambda: self._grafana.api.GET(path), missing=True)
        if found is None:
            wanted = {"isEnabled": True, "timeSelectionEnabled": False, "annotationsEnabled": False, "share": "public"}
            found = self._asked(lambda: self._grafana.api.POST(path, json=wanted)) or {}
        if not found.get("isEnabled"):
            raise PushError(
                f"{uid}: somebody has paused its public page in Grafana; it stays paused until it is resumed there"
            )
        return f"{self._target.url.rstrip('/')}/public-dashboards/{found.get('accessToken', '')}"

    def _asked(self, question: Callable[[], object], *, missing: bool = False, conflicts: bool = False) -> Json | None:
        """An answer of Grafana's.

        Args:
            question: one call of the library's.
            missing: 404 is an answer, None.
            conflicts: 412 is told by ``_ChangedError``.

        Raises:
            PushError: no answer, a refused account, or an error of Grafana's; one line with what to do.
            _ChangedError: 412.
        """
        url = self._target.url
        try:
            answer = question()
        except GrafanaUnauthorizedError as error:
            raise PushError(
                f"{url} does not accept the token (401); make a service account with the role Editor and use its token"
            ) from error
        except GrafanaServerError as error:
            raise PushError(f"{url} failed ({error.status_code}); look into Grafana's log, then push again") from error
        except GrafanaClientError as error:
            if missing and error.status_code == 404:
                return None
            if conflicts and error.status_code == 412:
                raise _ChangedError from error
            if error.status_code == 403:
                raise PushError(
                    f"{url}: this account may not do that (403); give its service account the role Editor"
                ) from error
            raise PushError(f"{url} refused ({error.status_code}): {_words(error)}") from error
        except requests.exceptions.JSONDecodeError as error:
            raise PushError(f"{url} does not answer as Grafana does; correct the address") from error
        except requests.exceptions.RequestException as error:
            raise PushError(
                f"{url} does not answer ({type(error).__name__}); start Grafana or correct the address"
            ) from error
        if not isinstance(answer, dict):
            raise PushError(f"{url} does not answer as Grafana does; correct the address")
        return answer


class _ChangedError(Exception):
    """The dashboard has changed since it was read."""


def _words(error: GrafanaException) -> str:
    response = error.response
    text = response.get("message", response) if isinstance(response, Mapping) else response
    return " ".join(str(text).split())[:200]
