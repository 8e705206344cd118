"""The camera thread: reads frames into a mailbox and reopens a lost source."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Condition, Event, Thread

from fer_edge.camera import Camera, LeftOut, LossyCamera
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from fer_edge.runtime.backoff import Backoff
from fer_edge.runtime.mailbox import Mailbox
from fer_edge.runtime.part_name import in_context

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 10.0  # a camera that was back for less is retried less and less often
JOIN_SECONDS = 2.0
POLL_SECONDS = 0.1


PAUSED = "paused: the camera is closed (camera.paused)"
STUCK_SECONDS = 30.0
"""An attempt to open a camera that takes longer is hanging in its driver."""


class CaptureThread:
    """Opens a camera and owns it. A live source that is missing or lost is reopened with growing
    pauses; the end of any other source closes the mailbox. While it is paused a live camera is closed."""

    def __init__(
        self, open_camera: Callable[[], Camera], *, live: bool = False, changed: Condition | None = None
    ) -> None:
        """`live`: a source that cannot be opened at the start is waited for. `changed`: see `Mailbox`."""
        self.mailbox: Mailbox[Frame] = Mailbox(changed)
        self.colour = True
        """Whether any consumer needs colours; may be set at any time."""
        self.paused = False
        """Whether the camera is to be closed; may be set at any time."""
        self.reason = ""
        """Why there is no picture, in words; empty while there is one."""
        self.retry_at: float | None = None
        """When the source is opened again (monotonic seconds), while it is away and that is known."""
        self._open_camera = open_camera
        self._live = live
        self._camera: Camera | None = None  # until it is open
        self._opened = Event()  # or has failed to, or is being waited for
        self._stop = Event()
        self._away = Event()
        self._tried = time.monotonic()  # when it was last tried to open the camera
        self._error: BaseException | None = None
        self._last_ns = time.monotonic_ns()
        self._pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._steady_at = 0.0  # from then on the camera has recovered
        self._thread = Thread(target=in_context(self._main), name="camera", daemon=True)  # a driver may hang for ever

    @property
    def away(self) -> bool:
        """Whether the source is lost at the moment, or paused."""
        return self._away.is_set()

    @property
    def waiting(self) -> bool:
        """Whether it is lost for a known reason and being reopened: nothing hangs."""
        pause = time.monotonic() - self._tried
        return self.away and (self.paused or pause < LONGEST_PAUSE_SECONDS + STUCK_SECONDS)

    @property
    def live(self) -> bool:
        """Whether frames that are not read are gone; False before the camera is open too, unless it is waited for."""
        return self._live or (self._camera is not None and self._camera.live)

    def start(self, stop: Event, *, wait: bool = True) -> None:
        """Open the camera and start reading. Returns early where `stop` is set: a driver may take its time. Without
        `wait` nobody waits for it: a live source comes when it comes.

        Raises:
            CameraError: it cannot be opened, and is not waited for.
        """
        self._thread.start()
        while wait and not (self._opened.wait(POLL_SECONDS) or stop.is_set()):
            pass
        if wait and self._camera is None and not stop.is_set():
            self.raise_error()

    @property
    def left_out(self) -> LeftOut:
        """Frames of the source that are not processed: the camera's own, and those overwritten in the mailbox."""
        late, damaged = self._camera.left_out if isinstance(self._camera, LossyCamera) else LeftOut()
        return LeftOut(late + self.mailbox.dropped, damaged)

    def now_ns(self) -> int:
        """The time by the source's clock: the newest frame's, where that runs ahead, as files may."""
        return max(time.monotonic_ns(), self._last_ns)

    def raise_error(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop reading and release the camera. A driver that hangs is abandoned: the process ends anyway."""
        self._stop.set()
        self.mailbox.close()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            log.warning("the camera does not respond and is abandoned")

    def _main(self) -> None:
        try:
            self._camera = self._first()
            self._opened.set()
            while self._camera and not self._stop.is_set() and self._read(self._camera):
                pass
        except BaseException as error:  # the top of a thread: kept and raised again in main
            self._error = error
        finally:
            if self._camera:
                self._camera.close()
            self.mailbox.close()
            self._opened.set()

    def _first(self) -> Camera | None:
        """Open the camera; None where the daemon stops before it is there."""
        if self.paused:
            self._rest()
        if not self._live or self._stop.is_set():
            return None if self._stop.is_set() else self._open_camera()
        try:
            return self._open_camera()
        except CameraError as error:
            log.error("%s; waiting for it", error)
            self._lost(str(error))
        return self._with_a_frame(self._open_camera)

    def _read(self, camera: Camera) -> bool:
        """Read one frame; False at the end of the source."""
        if self.paused:
            if camera.live:
                camera.close()
            self._rest()
            return not camera.live or self._reopened(camera)
        camera.colour = self.colour
        try:
            frame = camera.read()
        except CameraError as error:
            if not camera.live:
                raise
            log.error("%s; all faces are ended; trying to open it again", error)
            self._lost(str(error))
            if time.monotonic() >= self._steady_at:
                self._pauses.reset()
            camera.close()
            return self._reopened(camera)
        if frame is None:
            return False
        self._last_ns = frame.taken_ns
        self.mailbox.put(frame, wait=not camera.live)
        return True

    def _lost(self, reason: str) -> None:
        self.reason = reason
        self._away.set()

    def _rest(self) -> None:
        """Wait until it is not paused any more."""
        self._lost(PAUSED)
        log.info("the camera is paused")
        self._opened.set()
        while self.paused and not self._stop.wait(POLL_SECONDS):
            pass
        self.reason = ""
        self._away.clear()

    def _reopened(self, camera: Camera) -> bool:
        """Open a lost source again until a frame comes; False where it has an end after all, or the daemon stops."""

        def reopen() -> Camera:
            camera.open()
            return camera

        return self._with_a_frame(reopen) is not None

    def _with_a_frame(self, open_camera: Callable[[], Camera]) -> Camera | None:
        """Open a source until it delivers a frame: one that opens and delivers none is not back. None where it has an
        end after all, or the daemon stops."""
        found: list[Frame | None] = []

        def attempt() -> Camera:
            camera = open_camera()
            camera.colour = self.colour
            try:
                found.append(camera.read())
            except CameraError:
                camera.close()
                raise
            return camera

        camera = self._again(attempt)
        if camera is None:
            return None
        if found[-1] is None:
            camera.close()
            return None
        self._last_ns = found[-1].taken_ns
        self.mailbox.put(found[-1], wait=not camera.live)
        return camera

    def _pausing(self, seconds: float) -> bool:
        """Wait until the next attempt; True where the daemon stops before it."""
        self.retry_at = time.monotonic() + seconds
        stopped = self._stop.wait(seconds)
        self.retry_at = None
        return stopped

    def _again(self, open_camera: Callable[[], Camera]) -> Camera | None:
        """Retry until the source is there (again) or the daemon stops. The pauses keep growing where it
        is lost again at once."""
        pause, self._tried = next(self._pauses) if self.away else 0.0, time.monotonic()
        self._opened.set()
        while not self._pausing(pause):
            if self.paused:
                self._rest()
            self._tried = time.monotonic()
            try:
                camera = open_camera()
            except CameraError as error:
                log.debug("still away: %s", error)
                self._lost(str(error))
                pause = next(self._pauses)
            else:
                log.info("the camera is back")
                self._steady_at = time.monotonic() + STEADY_SECONDS
                self.reason = ""
                self._away.clear()
                return camera
        return None
