"""The camera thread: reads frames into a mailbox and brings a lost source back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

from fer_edge.camera import Camera
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from fer_edge.runtime.mailbox import Mailbox

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
JOIN_SECONDS = 2.0
POLL_SECONDS = 0.1


class CaptureThread:
    """Opens a camera and owns it. A live source that is lost is opened again, with growing pauses; the end of any
    other source closes the mailbox."""

    def __init__(self, open_camera: Callable[[], Camera]) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox()
        self.colour = True
        """Whether anybody looks at colours; may be set at any time."""
        self._open_camera = open_camera
        self._camera: Camera | None = None  # until it is open
        self._opened = Event()  # or has failed to
        self._stop = Event()
        self._away = Event()
        self._error: BaseException | None = None
        self._last_ns = time.monotonic_ns()
        self._thread = Thread(target=self._main, name="camera", daemon=True)  # a driver may hang for ever

    @property
    def away(self) -> bool:
        """Whether the source is lost at the moment."""
        return self._away.is_set()

    @property
    def live(self) -> bool:
        """Whether frames that are not read are gone; False before the camera is open too."""
        return self._camera is not None and self._camera.live

    def start(self, stop: Event) -> None:
        """Open the camera and start reading. Returns early where `stop` is set: a driver may take its time.

        Raises:
            CameraError: it cannot be opened.
        """
        self._thread.start()
        while not (self._opened.wait(POLL_SECONDS) or stop.is_set()):
            pass
        if self._camera is None and not stop.is_set():
            self.raise_error()

    def now_ns(self) -> int:
        """The time by the source's clock: that of the newest frame, where it runs ahead as files may."""
        return max(time.monotonic_ns(), self._last_ns)

    def raise_error(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop reading and give the camera back. A driver that hangs is left behind: the process ends anyway."""
        self._stop.set()
        self.mailbox.close()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            log.warning("the camera does not answer; leaving it behind")

    def _main(self) -> None:
        try:
            self._camera = self._open_camera()
            self._opened.set()
            while not self._stop.is_set() and self._read(self._camera):
                pass
        except BaseException as error:  # the top of a thread: kept and raised again in main
            self._error = error
        finally:
            if self._camera:
                self._camera.close()
            self.mailbox.close()
            self._opened.set()

    def _read(self, camera: Camera) -> bool:
        """Read one frame; False at the end of the source."""
        camera.colour = self.colour
        try:
            frame = camera.read()
        except CameraError as error:
            if not camera.live:
                raise
            log.error("%s; faces are ended, trying to open it again", error)
            self._reopen(camera)
            return True
        if frame is None:
            return False
        self._last_ns = frame.taken_ns
        self.mailbox.put(frame, wait=not camera.live)
        return True

    def _reopen(self, camera: Camera) -> None:
        """Open a lost source again and again until it is back or the daemon stops."""
        self._away.set()
        pause = FIRST_PAUSE_SECONDS
        camera.close()
        while not self._stop.wait(pause):
            try:
                camera.open()
            except CameraError as error:
                log.debug("still away: %s", error)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                log.info("the camera is back")
                self._away.clear()
                return
