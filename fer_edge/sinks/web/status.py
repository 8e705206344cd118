"""The daemon's figures, per second: counted in the main thread, read in the loop's."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from fer_edge.board.health import Health as Board
from fer_edge.config import Config
from fer_edge.records import THROTTLED, RateReason, Stats, Update
from fer_edge.settings.control import Control, Report
from fer_edge.sinks.web.messages import PartState, WebHealth

SLOWED = {
    "hot": "hot",
    "under_voltage": "weak power supply",
    "throttled": "slowed by the firmware",
    "soft_limit": "warm",
    "idle": "nobody is in view",
}


class StatusCollector:
    """Counts updates. `note` costs next to nothing, since it also runs without viewers."""

    def __init__(self, config: Config, control: Control) -> None:
        self._config, self._control = config, control
        self._stats: Stats | None = None  # the newest; most updates have none
        self._board = _board(None)
        self._begun = time.monotonic()
        self._camera_away: bool | None = None  # None: not a frame yet
        self._newest = 0.0  # monotonic seconds, of the last update with a frame
        self._count, self._latency_ms = 0, 0.0  # both only grow
        self._before = self._sums()

    def note(self, update: Update) -> None:
        """Take an update, in the main thread."""
        if update.stats:
            self._note_stats(update.stats)
        if update.frame is None:
            self._camera_away = True
            return
        self._camera_away = False
        self._newest = time.monotonic()
        self._latency_ms += max(0.0, self._newest - update.frame.taken_ns / 1e9) * 1e3
        self._count += 1

    def _note_stats(self, stats: Stats) -> None:
        """Keep the newest; how the board fares is so since it was first otherwise."""
        now, before, self._stats = time.monotonic(), self._board, stats
        since = before.since if before.state == _board(stats).state and before.since else now
        again = now + self._config.stats.interval_seconds
        self._board = msgspec.structs.replace(_board(stats), since=since, retry_at=again)

    def skip(self) -> None:
        """No viewers: exclude the time until now from the next figures."""
        self._before = self._sums()

    def _sums(self) -> tuple[float, int, float]:
        return time.monotonic(), self._count, self._latency_ms

    def health(self, viewers: int) -> WebHealth:
        """The figures since the last call, of it or of `skip`."""
        now = self._sums()
        seconds, steps, latency_ms = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        stats = self._stats
        return WebHealth(
            at=now[0],
            fps=round(steps / seconds, 1) if seconds else None,
            target_fps=stats.target_fps if stats else None,
            slowed=SLOWED[stats.rate_reason.value] if stats and stats.rate_reason else "",
            latency_ms=round(latency_ms / steps, 1) if steps else None,
            temperature_c=stats.temperature_c if stats else None,
            memory_mb=round(stats.rss_mb) if stats else None,
            dropped=stats.dropped_frames if stats else None,
            damaged=stats.damaged_frames if stats else None,
            camera=self._camera(now[0]),
            broker=self._broker(),
            board=self._board,
            viewers=viewers,
        )

    def _camera(self, now: float) -> PartState:
        if self._control.config.camera.paused:
            return PartState(state="off", text="paused: the camera is closed (camera.paused)")
        report = self._control.report_of("camera")
        if report and not report.good:
            return _reported(report, "bad")
        if self._camera_away is None:
            return PartState(state="waiting", text="waiting for the first picture", since=self._begun)
        if self._camera_away or now - self._newest > self._config.camera.timeout_seconds:
            return PartState(state="bad", text="no picture from the camera", since=self._newest or self._begun)
        return PartState(state="good", text="delivers pictures")

    def _broker(self) -> PartState:
        if not self._config.mqtt.enabled:
            return PartState(state="off", text="MQTT is off")
        report = self._control.report_of("broker")
        if report is None:
            return PartState(state="waiting", text="connecting", since=self._begun)
        return _reported(report, "good" if report.good else "bad")


def _reported(report: Report, state: Literal["good", "bad"]) -> PartState:
    """A part's reported state."""
    return PartState(state=state, text=report.words, since=report.since, retry_at=report.retry_at)


def _board(stats: Stats | None) -> PartState:
    """The firmware's warnings, and their effect on the frame rate."""
    if stats is None:
        return PartState(state="waiting", text="not known yet")
    words = Board(None, stats.throttled).words()
    slowed = stats.rate_reason is not None and stats.rate_reason is not RateReason.IDLE
    if slowed and stats.rate_reason:
        words = "; ".join(filter(None, (words, f"fewer frames are analysed: {SLOWED[stats.rate_reason.value]}")))
    if slowed or any((stats.throttled or 0) & bit for bit in THROTTLED):
        return PartState(state="bad", text=words)
    return PartState(state="off" if stats.throttled is None else "good", text=words or "nothing to report")
