"""What happened in the last ten minutes: for the page's log and time line, which a new viewer sees whole."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import Literal

from fer_edge.records import AlertState, FaceEvent, Update
from fer_edge.sinks.web.messages import Entry

SECONDS = 600.0
SIZE = 3000
"""At most so many entries, whatever happens in ten minutes."""


class RecentHistory:
    """Numbered entries, the oldest first; what was before `begun` is not known. `note` is for one thread, `entries` for
    any."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._lock = Lock()
        self._entries: deque[Entry] = deque(maxlen=SIZE)
        self._open: dict[int, Entry] = {}  # the newest entry of each face that is here
        self._alerts: dict[str, Entry] = {}  # since when each alert that is on has been so
        self._away: Entry | None = None  # since when the camera is away
        self._count = 0

    def note(self, update: Update, reason: str = "") -> tuple[Entry, ...]:
        """Add an update's events, without heartbeats. Returns what is new. `reason`: why the camera is lost."""
        turned = (update.frame is None) != (self._away is not None)
        if not (update.events or update.alerts or turned):
            return ()
        with self._lock:
            new = (*self._new(update), *((self._of_camera(reason),) if turned else ()))
            self._entries.extend(new)
            for entry in new:
                if entry.kind == "end":
                    self._open.pop(entry.face, None)
                elif entry.face:
                    self._open[entry.face] = entry
            self._forget(time.monotonic() - SECONDS)
        return new

    def entries(self) -> list[Entry]:
        """Those of the last ten minutes, before them older ones that still hold: the newest
        of each face that is here, the first of each alert that is on, and since when the camera is away."""
        with self._lock:
            self._forget(time.monotonic() - SECONDS)
            first = self._entries[0].n if self._entries else self._count + 1
            away = (self._away,) if self._away else ()
            older = [entry for entry in (*self._open.values(), *self._alerts.values(), *away) if entry.n < first]
            return [*sorted(older, key=lambda entry: entry.n), *self._entries]

    def _new(self, update: Update) -> Iterator[Entry]:
        for event in update.events:
            if not event.is_heartbeat:
                self._count += 1
                yield _of_face(self._count, event)
        for alert in update.alerts:
            if not alert.on and alert.name not in self._alerts:
                continue  # it was not on: the daemon reports every alert at its start
            self._count += 1
            entry = _of_alert(self._count, alert)
            if alert.on:
                self._alerts.setdefault(alert.name, entry)
            else:
                del self._alerts[alert.name]
            yield entry

    def _of_camera(self, reason: str) -> Entry:
        """It is away now, or back."""
        self._count += 1
        kind: Literal["away", "back"] = "back" if self._away else "away"
        entry = Entry(n=self._count, at=time.monotonic(), kind=kind, reason=reason or None)
        self._away = entry if kind == "away" else None
        return entry

    def _forget(self, before: float) -> None:
        while self._entries and self._entries[0].at < before:
            self._entries.popleft()


def _of_face(number: int, event: FaceEvent) -> Entry:
    return Entry(
        n=number,
        at=event.mono_ns / 1e9,
        kind=event.event_type.value,
        face=event.track_id,
        expression=event.expression,
        reason=event.reason.value if event.reason else None,
        confidence=round(event.confidence, 2),
        dwell=round(event.dwell_s if event.zone_dwell_s is None else event.zone_dwell_s, 1),
        name=event.zone or "",
    )


def _of_alert(number: int, alert: AlertState) -> Entry:
    return Entry(
        n=number,
        at=alert.mono_ns / 1e9,
        kind="alert",
        name=alert.name,
        on=alert.on,
        faces=alert.faces,
        who=alert.track_ids if alert.on else (),
    )
