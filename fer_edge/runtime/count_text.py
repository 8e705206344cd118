"""Numbers of things as people write them."""

from __future__ import annotations


def counted(number: float, thing: str, things: str = "", *, none: str = "0") -> str:
    """As in "1 face", "2 faces", "0.5 hours". `things`: where an s at the end does not make the plural; `none` stands
    for zero."""
    shown = none if number == 0 else f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {thing if number == 1 else things or thing + 's'}"


def of_all(some: int, number: int, thing: str) -> str:
    """As in "2 of 3 pictures", "1 of 1 picture"."""
    return f"{some} of {counted(number, thing)}"
