"""What a face shows beside its expression: each signal is defined in one place, and listed here.

A signal is measured on labelled data before it is published (docs/signals.md), gives a reason where it is unknown, and
is off unless its section of config.yaml has `enabled: true`. A new one is a `Signal` and one line in SIGNALS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fer_edge.config import Config
from fer_edge.records import SignalState, Track
from fer_edge.tracking.signals.attention import EYES_ASIDE, LOOKS
from fer_edge.tracking.signals.balance import BALANCE
from fer_edge.tracking.signals.drowsiness import BLINKS, PERCLOS, YAWNS
from fer_edge.tracking.signals.eyes_mouth import EYES_CLOSED, MOUTH_OPEN, SMILES
from fer_edge.tracking.signals.memory import remember
from fer_edge.tracking.signals.over_calm import BROW_RAISE_OVER_CALM, SMILE_OVER_CALM
from fer_edge.tracking.signals.signal import Signal

SIGNALS = {
    signal.name: signal
    for signal in (
        *(LOOKS, EYES_ASIDE, BALANCE, EYES_CLOSED, MOUTH_OPEN, SMILES),
        *(SMILE_OVER_CALM, BROW_RAISE_OVER_CALM, BLINKS, PERCLOS, YAWNS),
    )
}
"""Every signal by its name in payloads, in the order of publication."""


_ALERTS = {signal.name: (signal, True) for signal in SIGNALS.values() if signal.switch} | {
    signal.opposite: (signal, False) for signal in SIGNALS.values() if signal.opposite
}
"""Names in `alerts.NAME.signals`: the signal, and whether it has to be on or off."""


def signal_is(name: str, signals: Mapping[str, SignalState]) -> bool:
    """Whether a face's signals match a name in an alert."""
    signal, on = _ALERTS[name]
    state = signals.get(signal.name)
    return state is not None and state.on is on


def enabled_signals(config: Config) -> tuple[Signal, ...]:
    """The signals that config enables."""
    return tuple(signal for signal in SIGNALS.values() if signal.enabled(config))


def signal_words(signals: Mapping[str, SignalState]) -> list[str]:
    """A face's signals, for people; those without information are left out."""
    return [text for name, state in signals.items() if (text := SIGNALS[name].text(state))]


LASTED = "+"
"""Behind the name of a signal that a face lasted with."""


def milestones(signals: Mapping[str, SignalState]) -> list[str]:
    """The signals that a face has been on with, and those that it lasted with, marked by LASTED."""
    on = [name for name, state in signals.items() if state.times]
    return on + [f"{name}{LASTED}" for name in on if signals[name].lasted]


class SignalReader:
    """A track after a frame that shows it -> the same with its signals."""

    def __init__(self, signals: Sequence[Signal], config: Config | None = None) -> None:
        """Without signals there is no output and no cost."""
        self._signals, self._config = tuple(signals), config or Config()
        self._remembers = any(signal.remembers for signal in self._signals)

    def __call__(self, track: Track, now_ns: int, *, hidden: bool = False) -> Track:
        """How each stands. `hidden`: the face was not in the frame before."""
        if not self._signals:
            return replace(track, signals={}, memory=None) if track.signals else track
        if self._remembers:
            track = replace(track, memory=remember(track, now_ns, hidden=hidden))
        each = self._signals
        signals = {signal.name: signal.follow(track, self._config, now_ns, hidden=hidden) for signal in each}
        return replace(track, signals=signals)
