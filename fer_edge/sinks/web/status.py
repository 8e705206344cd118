"""How the daemon fares, second by second: counted in the main thread, read in the loop's."""

from __future__ import annotations

import time

from fer_edge.board.health import Health as Board
from fer_edge.config import Config
from fer_edge.records import Stats, Update
from fer_edge.settings.control import Control
from fer_edge.sinks.web.messages import PartState, WebHealth

SLOWED = {
    "hot": "hot",
    "under_voltage": "weak power supply",
    "throttled": "slowed by the firmware",
    "soft_limit": "warm",
    "idle": "nobody is there",
}


class StatusCollector:
    """Counts updates. `note` costs next to nothing, for it is done whether anybody looks or not."""

    def __init__(self, config: Config, control: Control) -> None:
        self._config, self._control = config, control
        self._stats: Stats | None = None  # the newest; most updates have none
        self._camera_away: bool | None = None  # None: not a frame yet
        self._newest = 0.0  # monotonic seconds, of the last update with a frame
        self._count, self._latency_ms = 0, 0.0  # both only grow
        self._before = self._sums()

    def note(self, update: Update) -> None:
        """Take an update, in the main thread."""
        if update.stats:
            self._stats = update.stats
        if update.frame is None:
            self._camera_away = True
            return
        self._camera_away = False
        self._newest = time.monotonic()
        self._latency_ms += max(0.0, self._newest - update.frame.taken_ns / 1e9) * 1e3
        self._count += 1

    def skip(self) -> None:
        """Nobody looks: leave what was until now out of the next figures."""
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
            board=Board(None, stats.throttled).words() if stats else "",
            memory_mb=round(stats.rss_mb) if stats else None,
            dropped=stats.dropped_frames if stats else None,
            camera=self._camera(now[0]),
            broker=self._broker(),
            viewers=viewers,
        )

    def _camera(self, now: float) -> PartState:
        if self._camera_away is None:
            return PartState(state="waiting", text="waiting for the first picture")
        if self._camera_away or now - self._newest > self._config.camera.timeout_seconds:
            return PartState(state="bad", text="no picture from the camera")
        return PartState(state="good", text="delivers pictures")

    def _broker(self) -> PartState:
        if not self._config.mqtt.enabled:
            return PartState(state="off", text="MQTT is off")
        said = self._control.reported("broker")
        if said == "connected":
            return PartState(state="good", text="connected")
        return PartState(state="bad", text=said) if said else PartState(state="waiting", text="connecting")
