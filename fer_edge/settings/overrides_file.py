"""The file in which changed settings survive a restart."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from fer_edge.runtime.atomic_file import replace_file
from fer_edge.runtime.sealed_file import seal, unseal

TUNING_FILE = "tuning.json"


def stored(path: Path) -> dict[str, Any]:
    """What the last run left. Raises OSError, or ValueError where it cannot be understood."""
    try:
        content: dict[str, Any] = msgspec.json.decode(unseal(path.read_bytes()), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise ValueError("too deep") from None
    return content


def load(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same, and warnings in words. A file that cannot be understood is moved aside."""
    try:
        return stored(path), ()
    except OSError as error:
        return {}, (f"cannot read {path}: {error.strerror}; continuing without earlier changes",)
    except ValueError:
        with contextlib.suppress(OSError):  # where it cannot be moved, the next change overwrites it
            path.replace(path.with_suffix(".corrupt"))
        return {}, (f"{path} is damaged, moved aside as .corrupt; continuing without earlier changes",)


def save(path: Path, overrides: dict[str, Any]) -> str | None:
    """Write them. Returns what prevents it, in words."""
    try:
        replace_file(path, seal(msgspec.json.encode(overrides)))
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return None
