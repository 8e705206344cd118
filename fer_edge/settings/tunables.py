"""What can be changed while the daemon runs: which keys, of which type, in which range, by which step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import inspect, structs

from fer_edge.config import Config, Detector, Events, Quality, Rate, Tracking
from fer_edge.settings.constraints import value_at
from fer_edge.settings.names import unit_of

DETECTOR = tuple(key for key in Detector.__struct_fields__ if key not in ("input_size", "region"))
ALERT = ("enabled", "min_confidence", "for_seconds", "min_faces", "cooldown_seconds")
LIVE: dict[str, tuple[str, ...]] = {
    "detector": DETECTOR,
    "quality": Quality.__struct_fields__,
    "tracking": Tracking.__struct_fields__,
    "events": Events.__struct_fields__,
    "readings": ("enabled", "max_per_second"),
    "stats": ("interval_seconds",),
    "rate": Rate.__struct_fields__,
    "log": ("level",),
    "camera": ("paused",),
}
"""The keys that can be set, by section; beside them ALERT of each alert that config.yaml names."""

TYPES = {"FloatType": "number", "IntType": "int", "BoolType": "bool", "LiteralType": "choice"}
"""By the names in msgspec.inspect."""

WHOLE_UNITS = ("px", "°")  # nobody sets a tenth of these

Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Tunable:
    """A key that can be set; its values are in `unit`."""

    key: str
    type: str  # number, int, bool or choice
    value: Value  # in force
    kept: Value  # in force after a restart
    default: Value  # of config.yaml
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False  # the minimum itself is not allowed
    choices: tuple[Value, ...] = ()

    @property
    def unit(self) -> str:
        """Empty where it has none."""
        return unit_of(self.key)

    @property
    def step(self) -> float:
        """By how much one press of a button changes it."""
        if self.type == "int" or self.unit in WHOLE_UNITS:
            return 1.0
        return 0.01 if self.high <= 1 else 0.1

    @property
    def low(self) -> float:
        """The lowest value on offer."""
        return float(self.minimum or 0.0) + (self.step if self.above_minimum else 0.0)

    @property
    def high(self) -> float:
        """The highest value on offer."""
        return 1.0 if self.maximum is None else float(self.maximum)


def live_types(config: Config) -> dict[str, Any]:
    """The type of each key that can be set."""
    live = LIVE | {f"alerts.{name}": ALERT for name in config.alerts}
    return {
        f"{place}.{field.name}": field.type
        for place, keys in live.items()
        for field in structs.fields(value_at(config, place))
        if field.name in keys
    }


def tunables_of(base: Config, *, now: Config, kept: Config) -> list[Tunable]:
    """Every key that can be set, with what it takes; `base`: config.yaml, `kept`: what a restart leads to."""
    return [
        _tunable(key, kind, value=value_at(now, key), kept=value_at(kept, key), default=value_at(base, key))
        for key, kind in live_types(base).items()
    ]


def _tunable(key: str, kind: Any, *, value: Value, kept: Value, default: Value) -> Tunable:
    info: Any = inspect.type_info(kind)
    least, above, most = (getattr(info, name, None) for name in ("ge", "gt", "le"))
    return Tunable(
        key,
        TYPES[type(info).__name__],
        value,
        kept,
        default,
        minimum=above if least is None else least,
        maximum=most,
        above_minimum=above is not None,
        choices=getattr(info, "values", ()),
    )
