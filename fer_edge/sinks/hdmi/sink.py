"""The preview on a display, without a desktop. Its failures never affect events: it waits and retries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from fer_edge.config import Config, Hdmi
from fer_edge.drawing.painter import BoxSmoother, DrawStyle, Painter, fitted, status_line
from fer_edge.errors import SinkError
from fer_edge.records import Frame, Identity, Image, Stats, Update
from fer_edge.runtime.mailbox import Mailbox
from fer_edge.runtime.paced import newest
from fer_edge.runtime.say_once import LastReason
from fer_edge.runtime.worker import Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.hdmi.screen import DisplayScreen, Found, find

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two checks for a display
NOTHING = "no picture from the camera"

Finder = Callable[[Hdmi], Found]


class HdmiSink:
    """Shows the newest update on the first display that fits the configuration, whenever there is one."""

    def __init__(self, config: Config, _identity: Identity, control: Control, *, finder: Finder = find) -> None:
        settings = self._settings = config.hdmi
        self.pictures = settings.images
        self._quiet_seconds = config.camera.timeout_seconds  # then a notice replaces the old picture
        self._finder = finder
        self._updates: Mailbox[Update] = Mailbox()
        self._stats: Stats | None = None  # the newest; most updates have none
        self._closing = Event()
        self._worker = Worker("hdmi", self._run)
        style = DrawStyle(images=settings.images, landmarks=settings.landmarks, mirror=settings.mirror)
        self._painter, self._control = Painter(style, config.zones), control
        self._steady = BoxSmoother()
        self._trouble = LastReason()

    def start(self) -> None:
        """Start the thread; a display that is not there is no error."""
        self._worker.start()

    @staticmethod
    def check(settings: Hdmi, *, finder: Finder = find) -> str:
        """What would be shown where. Raises SinkError where nothing would be now."""
        found = finder(settings)
        try:
            free = found.card.become_master()
        except OSError as error:
            raise SinkError(f"{found}: cannot be used: {error.strerror}") from None
        finally:
            found.card.node.close()
        if not free:
            raise SinkError(f"{found}: in use now, by the running daemon or another program")
        return f"{found}{_instead(settings, found)}"

    def submit(self, update: Update) -> None:
        """Take an update; the one before is forgotten if it was not shown yet. Never raises: this is a preview only."""
        if update.stats:
            self._stats = update.stats
        self._updates.put(update)

    def close(self, timeout: float) -> None:
        """Release the display, within `timeout` seconds. Never raises."""
        self._closing.set()
        self._updates.close()
        self._worker.join(timeout)

    def _run(self) -> None:
        """The thread: display after display."""
        while not self._closing.is_set():
            try:
                self._show(DisplayScreen(self._finder(self._settings)))
            except OSError as error:
                self._report(str(error) if isinstance(error, SinkError) else f"{error.strerror or error}")
                self._closing.wait(LOOK_SECONDS)

    def _show(self, screen: DisplayScreen) -> None:
        """Show updates until the daemon stops, or until the display is gone: SinkError."""
        try:
            self._loop(screen)
        finally:
            screen.close()

    def _loop(self, screen: DisplayScreen) -> None:
        shown, looked, logged = -self._quiet_seconds, time.monotonic(), False
        pace = {"max_per_second": self._settings.max_fps, "idle_seconds": LOOK_SECONDS}
        for update in newest(self._updates, self._closing, **pace):
            begun = time.monotonic()
            if update and update.frame:
                screen.show(self._picture(update, update.frame, screen.size))
                shown = begun
            elif update or begun - shown >= self._quiet_seconds:
                screen.show(self._painter.notice(NOTHING, screen.size))
            if begun - looked >= LOOK_SECONDS:
                looked = begun
                if not screen.is_connected():
                    raise SinkError(f"{screen.found.connector.name} is unplugged; waiting for a display")
                if not logged:  # only now: one that fails at once, again and again, must not fill the log
                    logged = True
                    self._trouble.changes_to(None)
                    log.info("HDMI: the preview is on %s%s", screen.found, _instead(self._settings, screen.found))

    def _picture(self, update: Update, frame: Frame, size: tuple[int, int]) -> Image:
        left, top, right, bottom = fitted(frame.width, frame.height, size)
        faces = self._steady(update.faces, frame.taken_ns)
        self._painter.zones = self._control.config.zones
        status = status_line(faces, self._stats) if self._settings.status else ""
        return self._painter.paint(frame, faces, size=(right - left, bottom - top), status=status)

    def _report(self, reason: str) -> None:
        """Log a reason, once in a row."""
        if self._trouble.changes_to(reason):
            log.warning("HDMI: %s", reason)


def _instead(settings: Hdmi, found: Found) -> str:
    """The message where the display does not offer the requested mode."""
    if settings.mode in ("", str(found.mode), str(found.mode).split("@")[0]):
        return ""
    offered = ", ".join(dict.fromkeys(map(str, found.connector.modes)))
    return f" instead of hdmi.mode: {settings.mode}; the display offers {offered}"
