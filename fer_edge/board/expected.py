"""Expected cost of a model on boards that could not be measured: its multiply-accumulates over the published rate.

docs/performance.md has the sources of the rates and the error of this estimate.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Board:
    """A Raspberry Pi and what it is expected to do."""

    name: str
    models: tuple[str, ...]  # what its device tree calls it begins with one of these
    cpu: str
    one_gmacs: float  # int8 multiply-accumulates a second on one core, 10^9
    all_gmacs: tuple[float, float]  # the same on its four cores: from, to
    slower: float  # how many times slower than the x86-64 machine of docs/performance.md Python and OpenCV run


BOARDS = (
    Board("Zero 2 W", ("Raspberry Pi Zero 2",), "Cortex-A53 1.0 GHz", 2.0, (6.0, 7.0), 14.0),
    Board("Pi 4", ("Raspberry Pi 4", "Raspberry Pi Compute Module 4"), "Cortex-A72 1.8 GHz", 6.7, (17.0, 24.0), 6.0),
    Board("Pi 5", ("Raspberry Pi 5", "Raspberry Pi Compute Module 5"), "Cortex-A76 2.4 GHz", 39.0, (65.0, 65.0), 3.0),
)


def board_of(model: str) -> Board | None:
    """The board named by a device tree's `model`; None: no figures for it."""
    return next((board for board in BOARDS if model.startswith(board.models)), None)


def one_core_ms(macs: int, board: Board) -> float:
    """One run on one core."""
    return macs / board.one_gmacs / 1e6


def all_cores_ms(macs: int, board: Board) -> tuple[float, float]:
    """One run on all four cores: from, to."""
    slow, fast = board.all_gmacs
    return macs / fast / 1e6, macs / slow / 1e6


def span(low: float, high: float, *, digits: int = 1) -> str:
    """Two figures, or one where they look the same."""
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first}-{last}"
