"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/fer-edge/config.yaml")
LOCAL_CONFIG = Path("config.yaml")
CHECKOUT = Path(__file__).resolve().parents[2]


def found_config() -> Path | None:
    """The default configuration: the system's, else, in a checkout, the one there; else none."""
    if DEFAULT_CONFIG.exists():
        return DEFAULT_CONFIG
    return LOCAL_CONFIG if _in_checkout() and LOCAL_CONFIG.is_file() else None


def passed_over(found: Path | None) -> str | None:
    """Why the config.yaml that lies here is not `found_config`; None where none lies here, or it is."""
    if found == LOCAL_CONFIG or not LOCAL_CONFIG.is_file():
        return None
    if found and found.samefile(LOCAL_CONFIG):
        return None
    why = f"{found} is there" if found else "only a checkout's own file is used without -c"
    return f"./config.yaml is not used: {why}; to use it, give -c config.yaml"


def _in_checkout() -> bool:
    """Whether this is where the code that runs was checked out."""
    return Path.cwd() == CHECKOUT and (CHECKOUT / "pyproject.toml").is_file()


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
