"""Draws and encodes each picture once, for all viewers together, in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from threading import Event

import cv2

from fer_edge.config import Config
from fer_edge.drawing.painter import BoxSmoother, DrawStyle, Painter, fitted
from fer_edge.records import Frame, Update
from fer_edge.runtime.mailbox import Mailbox
from fer_edge.runtime.paced import newest
from fer_edge.runtime.worker import Worker
from fer_edge.sinks.web.messages import encode, faces_message
from fer_edge.sinks.web.viewers import Live

POLL_SECONDS = 1.0
QUALITY = 80  # of the JPEG: text stays sharp
NICE = 5  # events come before pictures, where there are too few cores for both

Deliver = Callable[[str, bytes | None], None]


class FrameRenderer:
    """Hands `deliver` the faces of the newest frame as a message, and its picture where a page has requested one."""

    def __init__(self, config: Config, live: Live, deliver: Deliver) -> None:
        self._settings, self._live, self._deliver = config.web, live, deliver
        self._updates: Mailbox[Update] = Mailbox()
        self._painter = Painter(DrawStyle(images=config.privacy.images), config.zones)
        self._steady = BoxSmoother()
        self._closing = Event()
        self._worker = Worker("web-picture", self._run)
        self.seen = 0  # updates processed
        self.drawn = 0  # pictures that were drawn and encoded

    def configure(self, config: Config) -> None:
        """Outline other zones. From any thread."""
        self._painter.zones = config.zones

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._worker.started

    def submit(self, update: Update) -> None:
        """Take an update; a waiting one is replaced. Returns at once."""
        if self._live.watched and update.frame:
            self._updates.put(update)

    def close(self, timeout: float) -> None:
        """End the thread, within `timeout` seconds."""
        self._closing.set()
        self._updates.close()
        self._worker.join(timeout)

    def _run(self) -> None:
        with contextlib.suppress(PermissionError):  # a hardened service may not
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        pace = {"max_per_second": self._settings.max_fps, "idle_seconds": POLL_SECONDS}
        for update in newest(self._updates, self._closing, **pace):
            if update and update.frame:
                self._work(update, update.frame)

    def _work(self, update: Update, frame: Frame) -> None:
        self.seen += 1
        message = encode(faces_message(update.faces, frame.taken_ns))
        self._deliver(message, self._jpeg(update, frame) if self._live.frame_requested else None)

    def _jpeg(self, update: Update, frame: Frame) -> bytes | None:
        width = min(frame.width, self._settings.max_width)
        left, top, right, bottom = fitted(frame.width, frame.height, (width, frame.height))
        faces = self._steady(update.faces, frame.taken_ns)
        picture = self._painter.paint(frame, faces, size=(right - left, bottom - top))
        done, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        self.drawn += 1
        return jpeg.tobytes() if done else None
