"""Numbers of things as people write them."""

from __future__ import annotations

GROUPED_FROM = 10_000


def counted(number: float, thing: str, things: str = "", *, none: str = "0") -> str:
    """As in "1 face", "20,000 faces", "0.5 hours". `things`: where an s at the end does not make the plural; `none`
    stands for zero."""
    return f"{none if number == 0 else grouped(number)} {thing if number == 1 else things or thing + 's'}"


def bytes_text(size: int) -> str:
    """As in "623640 bytes": digits as `ls` and a model's card have them, to compare."""
    return f"{size} byte{'' if size == 1 else 's'}"


def of_all(some: int, number: int, thing: str) -> str:
    """As in "2 of 3 pictures", "1 of 1 picture"."""
    return f"{grouped(some)} of {counted(number, thing)}"


def grouped(number: float) -> str:
    """As in "0.5", "1234", "20,000"."""
    return f"{number:,.12g}" if abs(number) >= GROUPED_FROM else f"{number:.12g}"
