"""What a run of each model costs, by kind of layer, and what that should take on a Raspberry Pi.

    python -m quantize.cost

prints the tables of docs/performance.md from the models and their cards; a test holds the page against them. Bytes are
those of int8 files: constants once, and every activation that goes in or out of an operation.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fer_edge.board.expected import BOARDS, Board, all_cores_ms, one_core_ms, span
from fer_edge.vision.model_card import Card, models_folder, read_card
from fer_edge.vision.tflite import read_model
from quantize.cost import published_times
from quantize.files.tflite_graph import Cost, Graph

NAMES = ("detector", "landmarks", "expression")
OTHER = "other"
LEAST_SHARE = 0.05
"""Kinds of layer with a smaller share of their model's multiply-accumulates are one row, "other"."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the four tables."""
    parser = argparse.ArgumentParser(prog="quantize.cost", description="Print what each published model should cost.")
    parser.parse_args(arguments)
    print("\n".join((*layers(), "", *rates(), "", *times(), "", *published_times.table())))
    return 0


def rates() -> Iterator[str]:
    """What each board is taken for."""
    yield "| board | CPU | int8 GMAC/s, one core | four cores | Python and OpenCV slower |"
    yield "|---|---|---|---|---|"
    yield from map(_rate, BOARDS)


def _rate(board: Board) -> str:
    four = span(*board.all_gmacs, digits=0)
    return f"| {board.name} | {board.cpu} | {board.one_gmacs:g} | {four} | {board.slower:g} times |"


def layers(folder: Path | None = None) -> Iterator[str]:
    """Each model, by kind of layer where it has several; the small ones together."""
    yield "| model, input | layers | MMAC | weights, kB | activations, kB | MAC per byte |"
    yield "|---|---|---|---|---|---|"
    for card, costs in _models(folder):
        _, height, width, _ = card.input.shape
        whole = _macs(costs)
        kinds = _kinds(costs, whole)
        for kind, group in kinds.items() if len(kinds) > 2 else ():  # one kind and the rest are as all together
            yield _row(card.name, kind, group)
        yield _row(f"**{card.name}, {width}x{height}**", "**all**", costs)


def times(folder: Path | None = None) -> Iterator[str]:
    """Expected ms of one run on each board."""
    yield f"| model | MMAC | {' | '.join(f'{board.name}, one core | four cores' for board in BOARDS)} |"
    yield f"|---|---|{'---|' * 2 * len(BOARDS)}"
    for card, costs in _models(folder):
        macs = _macs(costs)
        cells = (f"{one_core_ms(macs, board):.1f} | {span(*all_cores_ms(macs, board))}" for board in BOARDS)
        yield f"| {card.name} | {macs / 1e6:.1f} | {' | '.join(cells)} |"


def _models(folder: Path | None) -> Iterator[tuple[Card, list[Cost]]]:
    where = folder or models_folder(None)
    for name in NAMES:
        card = read_card(where, name)
        yield card, Graph(read_model(where, card)).costs()


def _kinds(costs: Iterable[Cost], whole: int) -> dict[str, list[Cost]]:
    """The layers by kind, dearest kind first, "other" last."""
    groups = defaultdict[str, list[Cost]](list)
    for cost in costs:
        groups[_kind(cost)].append(cost)
    kept = {kind: group for kind, group in groups.items() if kind != OTHER and _macs(group) >= LEAST_SHARE * whole}
    rest = [cost for kind, group in groups.items() if kind not in kept for cost in group]
    return dict(sorted(kept.items(), key=lambda each: -_macs(each[1]))) | {OTHER: rest}


def _macs(group: Iterable[Cost]) -> int:
    return sum(cost.macs for cost in group)


def _kind(cost: Cost) -> str:
    """A kind of layer in a word or two."""
    if cost.op.kind == "CONV_2D":
        return f"convolution {cost.kernel[0]}x{cost.kernel[1]}"
    return "depthwise convolution" if cost.op.kind == "DEPTHWISE_CONV_2D" else OTHER


def _row(name: str, kind: str, costs: Iterable[Cost]) -> str:
    macs, weights, moved = (
        sum(each) for each in zip(*((c.macs, c.weight_bytes, c.moved_bytes) for c in costs), strict=True)
    )
    cells = f"{macs / 1e6:.2f} | {weights / 1e3:.1f} | {moved / 1e3:.1f}"
    return f"| {name} | {kind} | {cells} | {macs / (weights + moved):.0f} |"
