"""In which order several processes run the tests: what takes long begins at once, in each of them."""

from __future__ import annotations

from collections.abc import Sequence


def long_ones_first(files: Sequence[str], processes: int) -> list[int]:
    """The tests' order, as indices of `files`, the file of each test.

    xdist (`--dist worksteal`) gives each process a share of the same length, one after the other. At the head of the
    first are the tests of training, whose files prepare much; at those of the others the files of tests/integration.
    What processes take from each other in the end is short then, and nothing that a file prepares is prepared twice.
    """
    heads: list[list[int]] = [[] for _ in range(processes)]
    rest: list[int] = []
    dealt: dict[str, int] = {}
    for index, file in enumerate(files):
        if file.startswith("tests/quantize/"):
            heads[0].append(index)
        elif file.startswith("tests/integration/"):
            heads[-1 - dealt.setdefault(file, len(dealt)) % max(1, processes - 1)].append(index)
        else:
            rest.append(index)
    order: list[int] = []
    for number, head in enumerate(heads):
        share = (len(files) - len(order)) // (processes - number)
        short = max(0, share - len(head))
        order += head + rest[:short]
        del rest[:short]
    return order + rest
