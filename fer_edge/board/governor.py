"""How many frames a second are processed: fewer when the board is hot or short of power, and while nobody is there.

All times are those of the frames, so a test needs no clock. A recording is never slowed: each of its frames counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from fer_edge.board.health import Health
from fer_edge.config import Config
from fer_edge.records import Frame, RateReason, Stats

log = logging.getLogger(__name__)

SOFT_LIMIT_SHARE = 1.2 / 1.4
"""What a Pi 3 B+ keeps of its clock, in GHz, at its soft temperature limit."""

ADVICE = {
    RateReason.HOT: "the board is hot; it needs cooling",
    RateReason.UNDER_VOLTAGE: "the supply voltage is too low; it needs another power supply or cable",
    RateReason.THROTTLED: "the firmware has slowed the CPU down; check cooling and power supply",
    RateReason.SOFT_LIMIT: "the board is at its soft temperature limit",
    RateReason.IDLE: "no face has been seen for a while",
}

Limit = tuple[float, RateReason]


class Governor:
    """Decides for each frame of a live camera whether it is processed."""

    def __init__(self, config: Config, health: Callable[[], Health], *, live: bool) -> None:
        """`health`: what is known of the board now; must not wait. `live`: False lets every frame pass."""
        self._health, self._live = health, live
        self._felt_c = float("-inf")  # the temperature with hysteresis
        self._weak: Limit | None = None  # what the firmware's bits last allowed, as a share of the full rate
        self._weak_ns = 0  # when they were last set
        self._seen_ns: int | None = None  # when somebody was last in view, or the first frame came
        self._due_ns = 0  # when the next frame is to be processed
        self.skipped = 0  # frames skipped on purpose, since the start
        self.reason: RateReason | None = None  # why it is fewer than config asks for
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Apply other limits."""
        self._config, self._full = config.rate, config.camera.fps
        self.target_fps: float | None = self._full if self._live else None

    def takes(self, frame: Frame) -> bool:
        """Whether to process this frame; a skipped one is counted in `skipped`."""
        if not (self._live and self._config.enabled):
            self.reason = None
            return True
        fps = self.target_fps = self._decide(frame.taken_ns)
        if self.reason is None or self._due(frame.taken_ns, fps=fps):
            return True
        self.skipped += 1
        return False

    def saw(self, faces: int, frame: Frame) -> None:
        """How many faces the processed frame shows: the first one ends the reduced rate of an empty room."""
        if faces:
            self._seen_ns = frame.taken_ns

    def annotate(self, stats: Stats | None) -> Stats | None:
        """Figures with those of the rate and the board filled in."""
        if stats is None:
            return None
        health = self._health()
        return replace(
            stats,
            temperature_c=health.temperature_c,
            throttled=health.throttled,
            target_fps=self.target_fps,
            rate_reason=self.reason,
            skipped_frames=self.skipped,
        )

    def _due(self, now_ns: int, *, fps: float) -> bool:
        """Keep the pace: a frame that comes late does not make the next ones late too."""
        period_ns = round(1e9 / fps)
        due_ns = self._due_ns
        if due_ns > now_ns + period_ns:  # that was a slower pace, or another clock
            due_ns = now_ns
        if due_ns > now_ns:
            return False
        self._due_ns = max(due_ns, now_ns - period_ns) + period_ns
        return True

    def _decide(self, now_ns: int) -> float:
        """The rate and, as `reason`, what it is due to: the lowest of all limits counts, and min_fps is kept."""
        health, before = self._health(), self.reason
        limits = (self._heat(health.temperature_c), self._power(health.throttled, now_ns), self._rest(now_ns))
        share, reason = min(filter(None, limits), default=(1.0, None))
        fps = min(self._full, max(share * self._full, self._config.min_fps))
        self.reason = reason if fps < self._full else None
        if self.reason is not before:
            self._log(health, fps)
        return fps

    def _heat(self, degrees: float | None) -> Limit | None:
        """From warm_c on less and less, nothing at hot_c. The way back begins hysteresis_c below where it was."""
        if degrees is None:
            return None
        config = self._config
        self._felt_c = min(max(self._felt_c, degrees), degrees + config.hysteresis_c)
        share = 1 - (self._felt_c - config.warm_c) / (config.hot_c - config.warm_c)
        return (max(0.0, share), RateReason.HOT) if share < 1 else None

    def _power(self, bits: int | None, now_ns: int) -> Limit | None:
        """While a bit is set and hold_seconds after, less; then it comes back over the same time."""
        found, held = self._allowed(bits or 0), self._held(now_ns)
        if found and (held is None or found[0] <= held[0]):  # a milder bit does not shorten what a worse one has begun
            self._weak, self._weak_ns = found, now_ns
            return found
        return held

    def _held(self, now_ns: int) -> Limit | None:
        """What is left of the last bits' limit."""
        if self._weak is None:
            return None
        share, reason = self._weak
        over = (now_ns - self._weak_ns) / 1e9 - self._config.hold_seconds
        share += (1 - share) * max(0.0, over) / self._config.hold_seconds
        return (share, reason) if share < 1 else None

    def _allowed(self, bits: int) -> Limit | None:
        """What the firmware's bits of this moment allow."""
        share = self._config.weak_share
        if bits & 0b0001:
            return share, RateReason.UNDER_VOLTAGE
        if bits & 0b0110:  # capped or throttled
            return share, RateReason.THROTTLED
        return (max(share, SOFT_LIMIT_SHARE), RateReason.SOFT_LIMIT) if bits & 0b1000 else None

    def _rest(self, now_ns: int) -> Limit | None:
        """While nobody was in view for idle_after_seconds. 0 switches it off."""
        self._seen_ns = now_ns if self._seen_ns is None else self._seen_ns
        after = self._config.idle_after_seconds
        if not after or now_ns - self._seen_ns < after * 1e9:
            return None
        return min(1.0, self._config.idle_fps / self._full), RateReason.IDLE

    def _log(self, health: Health, fps: float) -> None:
        """One line at each change of the reason."""
        if self.reason is None:
            log.info("processing every frame again")
            return
        heat = "" if health.temperature_c is None else f" ({health.temperature_c:.0f} C)"
        level = logging.INFO if self.reason is RateReason.IDLE else logging.WARNING
        log.log(level, "processing fewer frames, now %.3g a second: %s%s", fps, ADVICE[self.reason], heat)
