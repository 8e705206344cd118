"""Int8 times that others have published for these boards, beside this project's estimates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fer_edge.board.expected import BOARDS, Board, all_cores_ms, one_core_ms

ZERO, FOUR, FIVE = BOARDS

GMACS = {
    "MobileNet v1": 0.569,  # arXiv:1704.04861
    "MobileNet v2": 0.300,  # arXiv:1801.04381
    "SqueezeNet 1.0": 0.86,  # github.com/forresti/SqueezeNet: 1.72 GFLOP an image
    "SqueezeNet 1.1": 0.36,  # the same: 0.72
    "GoogLeNet": 1.5,  # arXiv:1409.4842
    "ResNet-18": 1.8,  # arXiv:1512.03385
    "ResNet-50": 3.8,  # the same
    "VGG-16": 15.3,  # the same
    "ShuffleNet v2": 0.146,  # arXiv:1807.11164
}
"""Multiply-accumulates of one picture, 10^9, as the networks' authors say."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One published time."""

    board: Board
    cores: int
    network: str
    ms: float
    source: str  # a key of docs/performance.md's list of sources

    @property
    def gmacs(self) -> float:
        """The rate that it makes: 10^9 multiply-accumulates a second."""
        return GMACS[self.network] / self.ms * 1e3

    def expected(self) -> tuple[float, float]:
        """The estimate, ms: from, to."""
        macs = round(GMACS[self.network] * 1e9)
        if self.cores > 1:
            return all_cores_ms(macs, self.board)
        return (one_core_ms(macs, self.board),) * 2


def _ncnn(board: Board, cores: int, **times: float) -> tuple[Timed, ...]:
    names = {"mobilenet": "MobileNet v1", "squeezenet": "SqueezeNet 1.1", "googlenet": "GoogLeNet"}
    names |= {"resnet18": "ResNet-18", "resnet50": "ResNet-50", "vgg16": "VGG-16"}
    return tuple(Timed(board, cores, names[name], ms, "ncnn") for name, ms in times.items())


TIMED = (
    *_ncnn(ZERO, 1, mobilenet=286.75, squeezenet=212.94, googlenet=664.15, resnet18=479.40, resnet50=1313.15),
    *_ncnn(ZERO, 4, mobilenet=91.03, squeezenet=96.55, googlenet=251.63, resnet18=195.51, resnet50=497.57),
    *_ncnn(FOUR, 1, mobilenet=84.82, squeezenet=69.42, googlenet=210.0, resnet18=158.5, resnet50=423.96, vgg16=869.84),
    *_ncnn(FOUR, 4, mobilenet=34.37, squeezenet=42.59, googlenet=101.25, resnet18=83.92, resnet50=196.65, vgg16=394.23),
    Timed(FOUR, 4, "MobileNet v1", 24.0, "XNNPACK"),
    Timed(FOUR, 4, "MobileNet v2", 17.0, "XNNPACK"),
    Timed(FIVE, 4, "ShuffleNet v2", 3.63, "Arm"),
    Timed(FIVE, 4, "SqueezeNet 1.0", 5.09, "Arm"),
    Timed(FIVE, 4, "GoogLeNet", 25.33, "Arm"),
    Timed(FIVE, 4, "ResNet-18", 8.75, "Arm"),
    Timed(FIVE, 4, "ResNet-50", 20.64, "Arm"),
)


def table() -> Iterator[str]:
    """The published times by board, cores and source, each with how far the method is off."""
    yield "| board | cores | published time / method's | source |"
    yield "|---|---|---|---|"
    rows = defaultdict[tuple[str, int, str], list[str]](list)
    for each, ratio in zip(TIMED, ratios(), strict=True):
        rows[each.board.name, each.cores, each.source].append(f"{each.network} {ratio:.2f}")
    for (board, cores, source), networks in rows.items():
        yield f"| {board} | {cores} | {'; '.join(networks)} | {source} |"


def ratios() -> list[float]:
    """Each published time divided by the estimate (the middle of its range)."""
    return [each.ms / (sum(each.expected()) / 2) for each in TIMED]
