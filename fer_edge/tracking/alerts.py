"""Alerts: one turns on when enough faces have shown its expressions for long enough.

Its condition holds while it is enabled, within its active hours, and `min_faces` faces, in its zone where it names one,
have one of `expressions` committed with a smoothed probability of at least `min_confidence`, or one of `signals`. It
goes on once that has lasted `for_seconds` and its last end is `cooldown_seconds` ago; it goes off as soon as the
condition does not hold any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_edge.config import Alert
from fer_edge.records import LABELS, AlertState, FaceState
from fer_edge.tracking.signals import signal_is

MINUTES_A_DAY = 24 * 60


@dataclass(slots=True)
class _Watch:
    """A rule and its state."""

    rule: Alert
    on: bool = False
    turned_ns: int | None = None  # when it turned on or off, or was first reported; None: not reported yet
    since_ns: int | None = None  # since when its condition holds; None: it does not
    off_ns: int | None = None  # when it last went off; None: it was never on
    shown: tuple[str, ...] = ()  # which of the rule's expressions or signals each matching face shows
    track_ids: tuple[int, ...] = ()  # of these faces

    def step(self, faces: Sequence[FaceState], now_ns: int, *, minute_of_day: int | None) -> bool:
        """Process a step; returns whether there is something to report."""
        rule = self.rule
        met = [(face, shown) for face in faces if (shown := _shown(face, rule)) is not None]
        self.shown, self.track_ids = tuple(shown for _, shown in met), tuple(face.track.id for face, _ in met)
        if not (rule.enabled and len(self.shown) >= rule.min_faces and _active(rule.active_hours, minute_of_day)):
            self.since_ns = None
        elif self.since_ns is None:
            self.since_ns = now_ns
        return self._turn(self._wanted(now_ns), now_ns)

    def _wanted(self, now_ns: int) -> bool:
        """Whether it should be on."""
        if self.since_ns is None:
            return False
        lasted = now_ns - self.since_ns >= self.rule.for_seconds * 1e9
        rested = self.off_ns is None or now_ns - self.off_ns >= self.rule.cooldown_seconds * 1e9
        return self.on or (lasted and rested)

    def _turn(self, on: bool, now_ns: int) -> bool:
        """Turn on or off; returns whether that is a change."""
        if on == self.on and self.turned_ns is not None:
            return False
        if self.on:
            self.off_ns = now_ns
        self.on, self.turned_ns = on, now_ns
        return True

    def take(self, rule: Alert) -> _Watch:
        """Apply another rule. How long its condition has held counts from the next step."""
        if rule != self.rule:
            self.rule, self.since_ns = rule, None
        return self


class AlertMaker:
    """The state of all faces -> alerts that turned on or off. Holds which are on."""

    def __init__(self, alerts: Mapping[str, Alert]) -> None:
        """`alerts`: name -> rule (config section `alerts`)."""
        self._watches = {name: _Watch(rule) for name, rule in alerts.items()}
        self._step_ns = 0

    def update(self, faces: Sequence[FaceState], now_ns: int, *, minute_of_day: int | None) -> tuple[AlertState, ...]:
        """Process a step; returns the alerts that turned on or off.

        An alert that was not reported yet is included even when it stays off, so that a retained value exists.

        Args:
            faces: all confirmed faces; the hidden ones count while they are open.
            now_ns: the frame's time.
            minute_of_day: local time, 0..1439. None: the clock is not to be trusted; then every hour is an active
                one: rather one safety alert too many.

        """
        self._step_ns = now_ns
        watches = self._watches.items()
        news = [name for name, watch in watches if watch.step(faces, now_ns, minute_of_day=minute_of_day)]
        return tuple(_state(name, self._watches[name]) for name in news)

    def end_all(self, now_ns: int) -> tuple[AlertState, ...]:
        """Nobody is observed any more (shutdown, or the camera is lost): alerts turn off."""
        return self.update((), now_ns, minute_of_day=None)

    def states(self) -> tuple[AlertState, ...]:
        """All reported alerts, as of the last step."""
        return tuple(_state(name, watch) for name, watch in self._watches.items() if watch.turned_ns is not None)

    def replace(self, alerts: Mapping[str, Alert]) -> tuple[AlertState, ...]:
        """Take new rules; returns the alerts that were on and are not among them, as off since the last step.

        One that keeps its name keeps its state; the next `update` applies its new rule.
        """
        gone = [name for name, watch in self._watches.items() if watch.on and name not in alerts]
        self._watches = {
            name: self._watches[name].take(rule) if name in self._watches else _Watch(rule)
            for name, rule in alerts.items()
        }
        return tuple(AlertState(name, on=False, mono_ns=self._step_ns, expressions=(), faces=0) for name in gone)


def _shown(face: FaceState, rule: Alert) -> str | None:
    """Which of the rule's expressions or signals a face in its zone shows clearly enough; None: none."""
    if rule.zone is not None and rule.zone not in face.zones:
        return None
    if _expresses(face, rule):
        return face.expression
    each = face.track.signals
    return next((name for name in rule.signals if signal_is(name, each)), None)


def _expresses(face: FaceState, rule: Alert) -> bool:
    """Whether it shows one of the rule's expressions."""
    smoothed = face.track.expression
    if smoothed is None or face.expression is None or face.expression not in rule.expressions:
        return False
    least = np.float32(rule.min_confidence)  # 0.7 as a float32 is less than 0.7, for NumPy 1
    return bool(smoothed.probabilities[LABELS.index(face.expression)] >= least)


def _active(hours: str | None, minute_of_day: int | None) -> bool:
    """Whether a minute lies within "22:00-06:30": start inclusive, end exclusive, equal ones mean all day."""
    if hours is None or minute_of_day is None:
        return True
    start, end = (int(time[:2]) * 60 + int(time[3:]) for time in hours.split("-"))
    lasts = (end - start) % MINUTES_A_DAY or MINUTES_A_DAY
    return (minute_of_day - start) % MINUTES_A_DAY < lasts


def _state(name: str, watch: _Watch) -> AlertState:
    """An alert as it is reported."""
    assert watch.turned_ns is not None
    shown, rule = watch.shown if watch.on else (), watch.rule
    expressions, signals = (
        tuple(dict.fromkeys(e for e in of if e in shown)) for of in (rule.expressions, rule.signals)
    )
    return AlertState(name, watch.on, watch.turned_ns, expressions, len(watch.shown), watch.track_ids, signals)
