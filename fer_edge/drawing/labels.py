"""Where the labels of faces go: beside their box, never over a face or over each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Place = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the canvas
Size = tuple[int, int]  # width, height

GAP = 2  # px between a box and its label


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label to be placed."""

    box: Place  # of its face, with all that is drawn around it
    sizes: tuple[Size, ...]  # of the text in its forms, the best one first


@dataclass(frozen=True, slots=True)
class Placed:
    """Which form of a label goes where."""

    form: int  # index into `Wanted.sizes`
    left: int  # px
    top: int  # px


def place_labels(wanted: Sequence[Wanted], canvas: Size, taken: Sequence[Place] = ()) -> list[Placed | None]:
    """A place for each label; None where the picture is too full for it. `taken`: what else must stay free.

    A face that leaves no room around it has its label on its own lower edge.
    """
    faces = [each.box for each in wanted]
    labels = list(taken)
    found: list[Placed | None] = []
    for number, each in enumerate(wanted):
        others = [*faces[:number], *faces[number + 1 :], *labels]
        placed = _place(each, [*others, each.box], _around(each.box), canvas) or _place(
            each, others, _within(each.box), canvas
        )
        found.append(placed)
        if placed:
            labels.append(_area(placed.left, placed.top, each.sizes[placed.form]))
    return found


def _place(wanted: Wanted, taken: Sequence[Place], spots: Sequence[tuple[int, ...]], canvas: Size) -> Placed | None:
    """The first spot that is free, for the best form that has one."""
    for form, size in enumerate(wanted.sizes):
        for left, top in _corners(spots, size, canvas):
            area = _area(left, top, size)
            if not any(_overlap(area, other) for other in taken):
                return Placed(form, left, top)
    return None


def _around(box: Place) -> tuple[tuple[int, ...], ...]:
    """Above, below and beside a box, each as (x, y, share of the width, share of the height to go back from there)."""
    left, top, right, bottom = box
    high, low = top - GAP, bottom + GAP
    return (
        *((left, high, 0, 1), (right, high, 1, 1), (left, low, 0, 0), (right, low, 1, 0)),
        *((right + GAP, top, 0, 0), (left - GAP, top, 1, 0), (right + GAP, bottom, 0, 1), (left - GAP, bottom, 1, 1)),
    )


def _within(box: Place) -> tuple[tuple[int, ...], ...]:
    """On a box's lower edge."""
    return ((box[0], box[3], 0, 1),)


def _corners(spots: Sequence[tuple[int, ...]], size: Size, canvas: Size) -> Iterator[tuple[int, int]]:
    """The upper left corners for a text of this size, moved as little as needed so that it is within the canvas."""
    if size[0] > canvas[0] or size[1] > canvas[1]:
        return
    for x, y, back_x, back_y in spots:
        left, top = x - back_x * size[0], y - back_y * size[1]
        yield min(max(0, left), canvas[0] - size[0]), min(max(0, top), canvas[1] - size[1])


def _area(left: int, top: int, size: Size) -> Place:
    return left, top, left + size[0], top + size[1]


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
