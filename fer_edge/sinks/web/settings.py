"""The thresholds as a page shows them: in words, with the range of a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fer_edge.settings.names import HEADINGS, hint_of, short_name
from fer_edge.settings.tunables import Tunable
from fer_edge.sinks.web.messages import Group, Setting

SECTIONS = ("events", "tracking", "quality", "detector")
"""What is shown, in this order; behind them the alerts."""

SPAN = {"s": 5.0, "px": 100.0, "": 10.0, "°": 90.0}
"""Where a slider ends at least, by unit: most ranges go on to values that nobody wants."""
ROOM = 4  # it reaches to so many times the default, too


def groups(tunables: Sequence[Tunable]) -> list[Group]:
    """What can be set on the page, by heading."""
    found: dict[str, list[Setting]] = {HEADINGS[section]: [] for section in SECTIONS}
    for tunable in tunables:
        section, name, *_ = tunable.key.split(".")
        if section in SECTIONS:
            found[HEADINGS[section]].append(_setting(tunable))
        elif section == "alerts":
            found.setdefault(f"Alert “{name}”", []).append(_setting(tunable))
    return [Group(name=name, settings=settings) for name, settings in found.items()]


def _setting(tunable: Tunable) -> Setting:
    return Setting(
        key=tunable.key,
        name=short_name(tunable.key),
        hint=hint_of(tunable.key),
        unit=tunable.unit,
        type=tunable.type,
        value=tunable.value,
        kept=tunable.kept,
        default=tunable.default,
        low=tunable.low,
        high=tunable.high,
        top=_top(tunable),
        step=tunable.step,
    )


def _top(tunable: Tunable) -> float:
    """Where the slider ends: rare values can be typed in beside it."""
    if tunable.high <= 1 or tunable.type == "bool":
        return tunable.high
    wanted = max(SPAN[tunable.unit], ROOM * float(tunable.default), float(tunable.value))
    return min(tunable.high, math.ceil(wanted))
