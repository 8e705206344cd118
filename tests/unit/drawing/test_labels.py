"""labels.py: labels cover neither each other nor faces."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fer_edge.drawing.labels import Place, Placed, Wanted, place_labels
from fer_edge.drawing.painter import MESH_PX, DrawStyle, Painter, caption, percentage
from fer_edge.drawing.palette import DARK, PALETTE
from fer_edge.records import LABELS, Box
from fer_edge.sinks.web.messages import faces_message
from tests.support.drawings import face
from tests.support.samples import frame_of

CANVAS = (640, 360)
SIZES = ((130, 16), (26, 16))


def overlap(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def area(wanted: Wanted, placed: Placed) -> Place:
    wide, high = wanted.sizes[placed.form]
    return placed.left, placed.top, placed.left + wide, placed.top + high


@pytest.mark.parametrize("count", [1, 3, 8, 25])
def test_labels_cover_neither_each_other_nor_another_s_face(count: int) -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        corners = random.integers((-20, -20), CANVAS, (count, 2))
        sides = random.integers(15, 150, (count, 2))
        boxes = [(int(x), int(y), int(x + w), int(y + h)) for (x, y), (w, h) in zip(corners, sides, strict=True)]
        wanted = [Wanted(box, SIZES) for box in boxes]
        taken = (0, 340, 200, 360)
        found = place_labels(wanted, CANVAS, [taken])
        areas = [area(each, place) for each, place in zip(wanted, found, strict=True) if place]
        assert not any(overlap(one, other) for one, other in combinations([*areas, taken], 2))
        for number, place in enumerate(found):
            if place:
                mine = area(wanted[number], place)
                assert not any(overlap(mine, box) for other, box in enumerate(boxes) if other != number)
                assert mine[0] >= 0 <= mine[1]
                assert mine[2] <= CANVAS[0]
                assert mine[3] <= CANVAS[1]


def test_a_label_stands_above_its_face_where_there_is_room_and_below_or_beside_it_elsewhere() -> None:
    def place(box: Place, canvas: tuple[int, int] = CANVAS) -> Placed | None:
        return place_labels([Wanted(box, SIZES)], canvas)[0]

    assert place((100, 100, 200, 200)) == Placed(0, 100, 82)
    assert place((100, 5, 200, 200)) == Placed(0, 100, 202)
    assert place((100, 5, 200, 355)) == Placed(0, 202, 5)
    assert place((0, 0, 600, 360)) == Placed(1, 602, 0), "the short form, where only that has room"
    assert place((0, 0, 640, 360)) == Placed(0, 0, 344), "no room around it: on its own lower edge"
    assert place((0, 0, 8, 8), (8, 8)) is None


def test_a_crowd_has_short_labels_before_none() -> None:
    boxes = [(x, 20, x + 26, 60) for x in range(0, 600, 30)]
    forms = [place.form for place in place_labels([Wanted(box, SIZES) for box in boxes], CANVAS) if place]
    assert len(forms) == len(boxes)
    assert {0, 1} == set(forms)


@pytest.mark.parametrize(("side", "mesh"), [(MESH_PX - 4, False), (MESH_PX + 4, True)])
def test_small_faces_have_no_landmarks_drawn_on_them(side: int, mesh: bool) -> None:
    """Nor in a picture that is shown larger or smaller: what counts is what is seen."""
    frame = frame_of(np.zeros((240, 320, 3), np.uint8))
    for scale in (1, 2):
        box = Box(100, 100, 100 + side / scale, 100 + side / scale)
        picture = Painter(DrawStyle(images=False)).paint(frame, [face(box)], size=(320 * scale, 240 * scale))
        inside = picture[100 * scale + 5 : 100 * scale + side - 5, 100 * scale + 5 : 100 * scale + side - 5]
        assert inside.any() == mesh


def test_pages_and_pictures_say_the_same_percentage() -> None:
    for value in np.linspace(0.2, 1, 400):
        one = face(Box(0, 0, 50, 50), value=float(value))
        (reported,) = faces_message([one], 0).faces
        share = reported.shares[LABELS.index("happiness")]
        assert caption(one) == f"#1 happiness {share} %"
    assert [percentage(value) for value in (0.0, 0.004, 0.996, 1.0)] == [0, 0, 100, 100]


def test_the_label_keeps_its_stripe_wherever_it_stands() -> None:
    frame = frame_of(np.zeros((240, 320, 3), np.uint8))
    picture = Painter(DrawStyle(landmarks=False)).paint(frame, [face(Box(100, 2, 180, 150))])
    below = picture[160:180, 100:106].reshape(-1, 3)
    assert (below == PALETTE["happiness"]).all(axis=1).any()
    assert (picture[160:180, 110:200] == DARK).all(axis=2).any()
