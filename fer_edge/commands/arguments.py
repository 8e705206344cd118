"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/fer-edge/config.yaml")


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def whole_seconds(text: str) -> int:
    """A whole number from 0."""
    return 0 if text == "0" else positive(text)


def seconds(text: str) -> float:
    """A time from 0, in seconds."""
    with suppress(ValueError):
        if 0 <= (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"expected a number of seconds from 0, got {text}")
