"""The pictures sink: a JPEG at a start, an enter or an alert, kept on disk for a while and passed to the views."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import NamedTuple

from fer_edge.config import Config
from fer_edge.drawing.event_picture import event_picture
from fer_edge.instance import state_folder
from fer_edge.records import Frame, Identity, Track, Update
from fer_edge.runtime.say_once import LastReason
from fer_edge.runtime.worker import Backlog, Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, Kind, PictureRing

log = logging.getLogger(__name__)

QUEUE = 8  # pictures that may wait for a slow disk; each holds a frame
TRIM_SECONDS = 5.0  # the delay with which an expired picture is deleted


class _Occasion(NamedTuple):
    """What a picture is to be of."""

    kind: Kind
    name: str
    subjects: tuple[int, ...]
    frame: Frame
    tracks: tuple[Track, ...]


class PicturesSink:
    """Keeps pictures. A failing disk is logged once, and stops nothing: pictures are lost then, but still shown."""

    pictures = True

    def __init__(self, config: Config, identity: Identity, control: Control | None = None) -> None:
        self._config, self._control = config.pictures, control
        self._ring = PictureRing(state_folder(config, identity.device_id) / PICTURES_FOLDER, config.pictures)
        self._occasions: Backlog[_Occasion] = Backlog(QUEUE)
        self._worker = Worker("pictures", self._run)
        self._closing = Event()
        self._last = float("-inf")  # when a start or an enter had a picture (monotonic seconds)
        self._trouble = LastReason()

    def start(self) -> None:
        """See `Sink.start`."""
        self._worker.start()

    def submit(self, update: Update) -> None:
        """See `Sink.submit`."""
        self._worker.check()
        if update.frame is not None and (update.events or update.alerts):
            for kind, name, subjects in self._wanted(update):
                self._occasions.put(_Occasion(kind, name, subjects, update.frame, update.tracks))

    def _wanted(self, update: Update) -> Iterator[tuple[Kind, str, tuple[int, ...]]]:
        """What of an update has a picture: what, the name of the alert or zone, the faces that it is about."""
        for alert in update.alerts:
            if alert.on and "alert" in self._config.at:
                yield "alert", alert.name, alert.track_ids
        for event in update.events:
            kind: Kind | None = {"start": "start", "enter": "enter"}.get(event.event_type.value)  # type: ignore[assignment]
            now = time.monotonic()
            if kind in self._config.at and kind and now - self._last >= self._config.every_seconds:
                self._last = now
                yield kind, event.zone or "", (event.track_id,)

    def close(self, timeout: float) -> None:
        """See `Sink.close`."""
        self._closing.set()
        self._occasions.wake()
        if not self._worker.join(timeout):
            log.warning("pictures: the disk does not answer; the last ones are lost")

    def _run(self) -> None:
        self._keep(self._ring.trim)
        trimmed = time.monotonic()
        while True:
            closing_now = self._closing.is_set()
            while occasion := self._occasions.get(0 if closing_now else TRIM_SECONDS):
                self._take(occasion)
            if closing_now:
                return
            if time.monotonic() - trimmed >= TRIM_SECONDS:
                self._keep(self._ring.trim)
                trimmed = time.monotonic()

    def _take(self, occasion: _Occasion) -> None:
        jpeg = event_picture(occasion.frame, occasion.tracks, occasion.subjects, self._config)
        if jpeg is None:
            return
        if self._control:
            self._control.tell_picture(f"{occasion.kind}/{occasion.name}".rstrip("/"), jpeg)
        track_id = 0 if occasion.kind == "alert" else occasion.subjects[0]
        self._keep(lambda: self._ring.add(occasion.kind, jpeg, name=occasion.name, track_id=track_id))

    def _keep(self, what: Callable[[], None]) -> None:
        """Do something on the disk; a failure is logged once in a row."""
        try:
            what()
            trouble = None
        except OSError as error:
            trouble = f"{error.filename or 'the disk'}: {error.strerror}"
        if self._trouble.changes_to(trouble):
            log.warning("pictures: %s; they are not kept, or not deleted", trouble) if trouble else log.info(
                "pictures: writing to disk works again"
            )
