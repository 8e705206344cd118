"""One camera of the daemon: where its frames come from, how they are processed, and where the results go.

All of it is the main thread's, which gives each camera its turn; a frame comes from the camera's own thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fer_edge.board.governor import Governor
from fer_edge.camera.capture import PAUSED, CaptureThread
from fer_edge.pipeline import Pipeline
from fer_edge.records import Stats, Update
from fer_edge.runtime.mailbox import Closed
from fer_edge.runtime.meter import Meter
from fer_edge.settings.control import Control
from fer_edge.sinks import Sink

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Station:
    """A camera with its pipeline, its settings and its sinks. Another one's failure does not affect it."""

    name: str  # its key in section cameras; empty where there is one camera
    pipeline: Pipeline
    feed: CaptureThread
    control: Control
    sinks: list[Sink]
    governor: Governor  # how many frames are looked at
    meter: Meter  # what a step costs
    away: str = ""  # why there is no picture; empty while there is one
    over: bool = False  # whether its source has ended
    failure: Exception | None = None  # what it ended with, if that was wrong
    _newest: float = field(default_factory=time.monotonic)  # when the last frame came
    _turned: float = field(default_factory=time.monotonic)  # when it last had its turn

    def obey(self) -> None:
        """Apply what was changed since the last step."""
        self.control.check()
        config = self.control.config
        if config is not self.pipeline.config:
            self.pipeline.configure(config)
            self.meter.interval_seconds = config.stats.interval_seconds
            self.governor.configure(config)
            logging.getLogger().setLevel(config.log.level.upper())
        self.feed.paused = config.camera.paused
        self.feed.colour = self.pipeline.colour or any(sink.pictures for sink in self.sinks)

    def idle_for(self, seconds: float) -> bool:
        """Whether it had no turn for so long."""
        return time.monotonic() - self._turned >= seconds

    def turn(self) -> bool:
        """Look at the frame that waits, if there is one. Returns whether the camera is healthy: a step was finished, or
        the camera is away for a known reason and tried again."""
        self._turned = time.monotonic()
        try:
            frame = self.feed.mailbox.get(0.0)
        except Closed:
            self._finish()
            return False
        if frame is None or self.feed.paused:
            return self._rest()
        if not self.governor.takes(frame):
            self._newest = time.monotonic()
            return False
        update = self.pipeline.step(frame)
        self.governor.saw(len(update.tracks), frame)
        self.meter.add(update.timings_ms, latency_ms=max(0, self.feed.now_ns() - frame.taken_ns) / 1e6)
        stats = self._stats()
        submit_to_all(self.sinks, replace(update, stats=stats) if stats else update)
        if self.away:
            self.control.report("camera", "", good=True)
        self.away, self._newest = "", time.monotonic()
        return True

    def end(self) -> None:
        """End all faces: there are no pictures any more."""
        submit_to_all(self.sinks, self.pipeline.end_all(self.feed.now_ns()))

    def _rest(self) -> bool:
        """Without a frame: a camera that is away ends all faces, once."""
        silent = time.monotonic() - self._newest > self.pipeline.config.camera.timeout_seconds
        reason = self._why_no_picture(silent=silent)
        new, self.away = bool(reason and reason != self.away), reason or self.away
        if self.away:
            self.control.report("camera", self.away, retry_at=self.feed.retry_at)
        if new:
            self.end()
        elif self.away and (stats := self._stats()):
            submit_to_all(self.sinks, Update(None, stats=stats))
        return self.feed.waiting

    def _why_no_picture(self, *, silent: bool) -> str:
        """Why there is no picture; empty where the next frame may come any moment."""
        if self.feed.away or self.feed.paused:
            return self.feed.reason or PAUSED
        return "it delivers no frames" if silent else ""

    def _finish(self) -> None:
        self.over = True
        try:
            self.feed.raise_error()
        except Exception as error:  # main raises it, when the other cameras have ended too
            self.failure, self.away = error, str(error)
            if self.name:
                log.error("%s; the other cameras go on", error)
        else:
            log.info("the source has ended")
            self.away = "the source has ended"
        if self.name:
            self.control.report("camera", self.away)
        self.end()

    def _stats(self) -> Stats | None:
        """The figures of the interval that has just ended, or None while it lasts."""
        out = self.feed.left_out
        return self.governor.annotate(self.meter.due(dropped_frames=out.late, damaged_frames=out.damaged))


def submit_to_all(sinks: list[Sink], update: Update) -> None:
    """Hand an update to every sink. A failed one raises, but only after the others have it."""
    do_all([partial(sink.submit, update) for sink in sinks])


def do_all(actions: Sequence[Callable[[], None]]) -> None:
    """Do each; the first one that fails raises, but only after the others are done."""
    failures = []
    for action in actions:
        try:
            action()
        except Exception as error:  # whatever stopped a sink's thread; raised below
            failures.append(error)
    if failures:
        raise failures[0]
