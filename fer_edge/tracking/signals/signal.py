"""What a signal is, and how it is tracked over time: with hysteresis, counted in seconds, not in frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fer_edge.config import Config
from fer_edge.records import Reason, SignalState, Track

Measured = float | Reason
"""A value, or why there is none."""

LOST_S = 2.0  # frames that are further apart: nothing is counted in between


@dataclass(frozen=True, slots=True)
class Switch:
    """When a binary signal is on or off."""

    enter: float  # on from this value on, in the unit of what the signal measures ...
    leave: float  # ... until it falls below that one
    dwell_s: float  # either must last this long
    lasting_s: float  # added up: on for this long, a face counts as one with which it lasted


@dataclass(frozen=True, slots=True)
class Signal:
    """One definition. Without a switch it is a level: its value is published. One with a switch may be a level too:
    then both are published."""

    name: str  # in payloads
    words: str  # for people, as in "looks at the camera"
    icon: str  # of Material Design, in Home Assistant
    enabled: Callable[[Config], bool]
    measure: Callable[[Track, Config], Measured]
    switch: Callable[[Config], Switch] | None = None
    opposite: str | None = None  # name for alerts of its being off
    level: bool = False  # a level that has a switch as well
    form: str = "+.2f"  # of a level's value, for people
    decimals: int = 1  # of the mean over faces in `state`: each step is a message
    remembers: bool = False  # takes `track.memory`

    @property
    def has_value(self) -> bool:
        """Whether it is a level."""
        return self.level or self.switch is None

    def follow(self, track: Track, config: Config, now_ns: int, *, hidden: bool = False) -> SignalState:
        """Its state after a frame that shows the face: `track` has the signals of the last one that did. `hidden`:
        that was not the previous frame."""
        measured = self.measure(track, config)
        old = track.signals.get(self.name)
        if old is None:
            old = SignalState(measured_ns=now_ns)
        changes = _counted(old, now_ns, hidden=hidden)
        if self.has_value:
            changes |= _levelled(measured)
        if self.switch is not None:
            switch = self.switch(config)
            changes["lasted"] = old.lasted or 0 < switch.lasting_s <= changes.get("seconds", old.seconds)
            changes |= _switched(old, measured, switch, now_ns, first_ns=track.first_ns)
        return replace(old, **changes)  # once: it is what costs most

    def text(self, state: SignalState) -> str:
        """Its state, for people; empty without information."""
        if self.has_value:
            return "" if state.value is None else f"{self.words} {state.value:{self.form}}"
        if state.on is None and not state.seconds:
            return ""
        how_long = f" ({state.seconds:.1f} s)" if state.seconds else ""
        return f"{self.words}{'' if state.on else ': no'}{how_long}"


def smoothed(track: Track, signal: str, value: float, seconds: float) -> float:
    """Exponential smoothing of a level in time: single frames are noisy, and each step of the mean is a message of
    `state`."""
    before = track.signals.get(signal)
    if before is None or before.value is None:
        return value
    weight = 1 - math.exp(-max(0, track.last_ns - before.measured_ns) / 1e9 / seconds)
    return before.value + (value - before.value) * weight


def _counted(old: SignalState, now_ns: int, *, hidden: bool) -> dict[str, Any]:
    """What the time since the previous frame adds, with the state of that frame."""
    elapsed_s = (now_ns - old.measured_ns) / 1e9
    if hidden or not 0 < elapsed_s <= LOST_S or not old.known:
        return {"measured_ns": now_ns}
    return {
        "measured_ns": now_ns,
        "seconds": old.seconds + (elapsed_s if old.on else 0.0),
        "known_s": old.known_s + elapsed_s,
        "sum_s": old.sum_s + elapsed_s * (old.value or 0.0),
    }


def _levelled(measured: Measured) -> dict[str, Any]:
    known = not isinstance(measured, Reason)
    return {"value": measured if known else None, "reason": None if known else measured}


def _switched(state: SignalState, measured: Measured, switch: Switch, now_ns: int, *, first_ns: int) -> dict[str, Any]:
    """Let a new state take over once it has lasted."""
    wanted, reason = _wanted(state, measured, switch)
    if wanted is state.on and (wanted is not None or reason is state.reason):
        return {"reason": reason, "rival_ns": None}
    since_ns = now_ns if state.rival_ns is None or state.rival is not wanted else state.rival_ns
    if now_ns - since_ns < switch.dwell_s * 1e9:
        return {"rival": wanted, "rival_ns": since_ns}
    new = {"on": wanted, "reason": reason, "rival_ns": None}
    if not wanted:
        return new
    first = (since_ns - first_ns) / 1e9 if state.first_after_s is None else state.first_after_s
    return new | {"times": state.times + 1, "first_after_s": max(0.0, first)}


def _wanted(state: SignalState, measured: Measured, switch: Switch) -> tuple[bool | None, Reason | None]:
    """The newest frame's state, with hysteresis in favour of the current one."""
    if isinstance(measured, Reason):
        return None, measured
    if measured >= switch.enter:
        return True, None
    return bool(state.on) and measured >= switch.leave, None
