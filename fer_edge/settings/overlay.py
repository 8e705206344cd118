"""Configurations with other values at some dotted keys, and where two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from fer_edge.config import Config, Section
from fer_edge.settings.constraints import value_at
from fer_edge.settings.shapes import typed


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with other values at some dotted keys."""
    for key, value in values.items():
        config = _put(config, key.split("."), typed(key, value))
    return config


def _put(node: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    changed = {first: _put(value_at(node, first), rest, value)}
    return node | changed if isinstance(node, dict) else structs.replace(node, **changed)


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All dotted keys and their values."""
    for name, below in (node if isinstance(node, dict) else structs.asdict(node)).items():
        if isinstance(below, dict | Section):
            yield from flat(below, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", below


def differences(one: Config, other: Config) -> tuple[str, ...]:
    """The dotted keys that differ."""
    first, second = dict(flat(one)), dict(flat(other))
    return tuple(key for key in first | second if first.get(key) != second.get(key))
