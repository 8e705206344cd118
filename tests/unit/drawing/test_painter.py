"""draw.py and font.py: the same marks on every view."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from fer_edge.config import Zone
from fer_edge.drawing.font import Font
from fer_edge.drawing.painter import BoxSmoother, DrawStyle, Painter, fitted, status_line
from fer_edge.drawing.palette import ABSTAINED, DARK, LIGHT, PALETTE
from fer_edge.records import LABELS, Box, Image, Reason
from tests.support.drawings import STATS, backdrop, crowd, face, golden
from tests.support.paths import DATA
from tests.support.samples import frame_of

BLACK = frame_of(np.zeros((240, 320, 3), np.uint8))
BOX = Box(100, 80, 180, 180)


def has(picture: Image, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=2).any())


@pytest.mark.parametrize("name", ["draw_240", "draw_1080"])
def test_pictures_look_as_they_did(name: str) -> None:
    """Versions of OpenCV round the edges of lines differently: a little, on few pixels."""
    picture, before = golden()[name], cv2.imread(str(DATA / f"{name}.png"))
    assert before is not None
    difference = np.abs(picture.astype(int) - before).max(axis=2)
    assert difference.mean() < 0.5
    assert (difference > 48).mean() < 0.002


@pytest.mark.parametrize("size", [(320, 240), (1920, 1080)])
def test_lines_are_crisp_in_every_size(size: tuple[int, int]) -> None:
    """A box's edge is pure color beside pure dark, however small the frame is."""
    picture = Painter(DrawStyle(landmarks=False)).paint(backdrop(320, 240), [face(BOX)], size=size)
    middle = picture[round(130 / 240 * size[1])].astype(int)
    edges = np.nonzero((middle == PALETTE["happiness"]).all(axis=1))[0]
    thick = max(1, round(size[1] / 400))
    assert len(edges) == 2 * thick
    assert tuple(middle[edges[0] - 1]) == DARK == tuple(middle[edges[-1] + 1])
    assert abs(edges[0] - 100 / 320 * size[0]) <= 1


def test_every_expression_has_its_color_and_none_is_taken_for_another() -> None:
    assert set(PALETTE) == set(LABELS)
    for one, other in combinations([*PALETTE.values(), ABSTAINED], 2):
        assert np.abs(np.subtract(one, other)).max() > 40
    for label in LABELS:
        assert has(Painter().paint(BLACK, [face(BOX, label=label)]), PALETTE[label])
    picture = Painter().paint(BLACK, [face(BOX, label=None)])
    assert has(picture, ABSTAINED)
    assert not any(has(picture, color) for color in PALETTE.values())


def test_text_stands_out_from_its_ground() -> None:
    """At least 7:1, what WCAG asks for at its strictest."""

    def luminance(color: tuple[int, int, int]) -> float:
        blue, green, red = (((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3294.6 for c in color)
        return 0.0722 * blue + 0.7152 * green + 0.2126 * red

    assert (luminance(LIGHT) + 0.05) / (luminance(DARK) + 0.05) > 7


def test_the_bar_is_as_long_as_the_label_is_sure() -> None:
    def length(value: float) -> int:
        picture = Painter(DrawStyle(landmarks=False)).paint(BLACK, [face(BOX, value=value)])
        below = (picture[182:190, 101:179] == PALETTE["happiness"]).all(axis=2)
        return int(below.any(axis=0).sum())

    assert length(0.25) == pytest.approx(78 * 0.25, abs=2)
    assert length(1.0) == pytest.approx(78, abs=2)


def test_outlines_only_and_mirrored(astronaut: Image) -> None:
    frame = frame_of(astronaut)
    picture = Painter(DrawStyle(images=False)).paint(frame, [face(BOX)])
    assert (picture == 0).all(axis=2).mean() > 0.9
    assert not Painter(DrawStyle(images=False)).paint(frame, []).any(), "nothing of the picture is left"
    assert (Painter(DrawStyle(mirror=True)).paint(frame, []) == astronaut[:, ::-1]).all()
    plain = Painter(DrawStyle(images=False, landmarks=False)).paint(BLACK, [face(BOX, label=None)]).copy()
    swapped = Painter(DrawStyle(images=False, landmarks=False, mirror=True)).paint(BLACK, [face(BOX, label=None)])
    edges = np.nonzero((plain[130] == ABSTAINED).all(axis=1))[0]
    assert (319 - edges[::-1] == np.nonzero((swapped[130] == ABSTAINED).all(axis=1))[0]).all()


def test_a_face_that_was_just_lost_does_not_blink() -> None:
    lost = face(BOX, at_ns=0)
    shown = [Painter().paint(frame_of(BLACK.image, seconds=s), [lost]).any() for s in (0.2, 0.4)]
    assert shown == [True, False]


@pytest.mark.parametrize("box", [Box(-40, -30, 20, 20), Box(300, 220, 400, 300), Box(-9, -9, 999, 999)])
def test_faces_may_leave_the_picture_and_the_caption_does_not(box: Box) -> None:
    picture = Painter().paint(BLACK, [face(box, id_=123456)])
    assert has(picture, LIGHT)
    tiny = Painter().paint(frame_of(np.zeros((8, 8, 3), np.uint8)), [face(Box(1, 1, 5, 5))], status="long")
    assert tiny.shape == (8, 8, 3)


def test_what_is_said() -> None:
    faces = crowd(320, 240)
    assert status_line(faces[:1], None) == "1 face"
    assert status_line(faces, STATS) == "10 faces · 14.9 fps · 8 ms · 48 °C · under-voltage"
    cool = replace(STATS, temperature_c=None, throttled=None)
    assert status_line([], cool) == "0 faces · 14.9 fps · 8 ms"
    notice = Painter().notice("no picture from the camera", (640, 480))
    ys, xs = np.nonzero((notice > 128).all(axis=2))
    assert (xs.min() + xs.max()) / 2 == pytest.approx(320, abs=4)
    assert 200 < ys.min() < ys.max() < 260


def test_steady_boxes() -> None:
    """A face that is still does not tremble; one that moves is not left behind; one that comes back is where it is."""
    steady, shown = BoxSmoother(), []
    for step in range(60):
        shift = (-1) ** step  # trembles by 2 px
        shown.append(steady([face(Box(100 + shift, 80, 180 + shift, 180))], step * 66_000_000)[0].track)
    last = [track.box.x0 for track in shown[30:]]
    assert max(last) - min(last) < 0.8
    assert shown[-1].landmarks.points[0, 0] - shown[-1].box.x0 == pytest.approx(0, abs=0.1), "the landmarks go with it"
    for step in range(60, 75):
        x = 100.0 + 10 * (step - 59)  # 1.5 heights a second
        (moved,) = steady([face(Box(x, 80, x + 80, 180))], step * 66_000_000)
    assert moved.track.box.x0 == pytest.approx(x, abs=4)
    (back,) = steady([face(Box(10, 80, 90, 180))], 10**11)
    assert back.track.box.x0 == 10
    assert steady([face(BOX, id_=2, label=None)], 10**11)[0].reason is Reason.TOO_SMALL


def test_a_picture_keeps_its_shape() -> None:
    assert fitted(640, 480, (1920, 1080)) == (240, 0, 1680, 1080)
    assert fitted(1280, 720, (1024, 768)) == (0, 96, 1024, 672)
    assert fitted(480, 640, (480, 640)) == (0, 0, 480, 640)


def test_accents() -> None:
    font = Font()
    plain, accented = font.draw("Lodz Kuche", 40), font.draw("Łódź Küche", 40)
    assert plain.shape == accented.shape
    assert int(accented.sum()) > int(plain.sum())
    assert (font.draw("u\u0308", 30) == font.draw("ü", 30)).all(), "a letter and its accent apart"
    assert (font.draw("字", 30) == font.draw("?", 30)).all()
    assert font.draw("", 30).shape[0] > 0
    for px in (12, 20, 40, 60):
        assert font.draw("Ég", px).shape[0] == pytest.approx(px * 1.2, abs=2)
    for number in range(500):
        font.draw(str(number), 12)
    assert len(font._cache) <= 200  # memory that nobody gives back


def test_zones_are_outlined_and_say_who_is_in_them() -> None:
    zone = Zone(points=((0.1, 0.5), (0.9, 0.5), (0.9, 0.9), (0.1, 0.9)))
    empty = Painter(zones={"door": zone}).paint(BLACK, []).copy()
    assert empty[118:123, 160].max() > 120, "its upper side"
    assert not empty[150, 160].any(), "nothing within it"
    inside = replace(face(Box(140, 150, 160, 170)), zones=("door",))
    assert not Painter().paint(BLACK, [inside])[215:218, 200].any()
    counted = Painter(zones={"door": zone}).paint(BLACK, [inside])
    assert (counted[100:120, 32:100] != empty[100:120, 32:100]).any(), "one more character"
