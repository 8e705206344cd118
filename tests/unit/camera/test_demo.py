"""The demo: what its camera shows."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.camera.demo import DEMO, view_at
from fer_edge.camera.replay import PICTURES, ReplayCamera
from fer_edge.errors import CameraError
from fer_edge.records import Box
from tests.support.replaying import config, replay

# where the faces are on the demo's canvases: x, y of the middle and the width, px
FACES = {
    "both": [(222, 140, 90), (626, 209, 145)],
    "astronaut": [(222, 140, 90)],
    "grace_hopper": [(265, 245, 170)],
}
CANVAS = {"both": (836, 512), "astronaut": (512, 512), "grace_hopper": (512, 600)}


def test_an_unknown_demo() -> None:
    with pytest.raises(CameraError, match=r"demo:mona_lisa is unknown; expected demo or one of demo:both, demo:astro"):
        replay("demo:mona_lisa")


@pytest.mark.parametrize("name", DEMO)
def test_the_demo_is_the_same_in_every_run(name: str) -> None:
    first, second = (
        hashlib.sha256(b"".join(frame.image.tobytes() for frame in replay(f"demo:{name}", width=80, height=60, fps=5)))
        for _ in range(2)
    )
    assert first.digest() == second.digest()


def test_the_demo_lasts_twelve_seconds_of_camera_time() -> None:
    camera = ReplayCamera(config("demo", width=64, height=48, fps=15))
    camera.open()
    frames = [frame for frame in iter(camera.read, None) if frame]
    assert len(frames) == camera.frames == 180
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert frames[-1].taken_ns - frames[0].taken_ns == pytest.approx(179e9 / 15, abs=10)


def test_the_demo_loops() -> None:
    camera = ReplayCamera(config("demo:astronaut", width=64, height=48, fps=1, loop=True))
    camera.open()
    frames = [camera.read() for _ in range(19)]
    first, again = frames[0], frames[9]
    assert first is not None
    assert again is not None
    assert (first.image == again.image).all()


@given(
    name=st.sampled_from(sorted(DEMO)),
    seconds=st.floats(0, 13),
    width=st.integers(16, 1920),
    height=st.integers(16, 1920),
)
def test_the_demo_never_leaves_its_canvas(name: str, seconds: float, width: int, height: int) -> None:
    view = view_at(DEMO[name], seconds, canvas=CANVAS[name], aspect=width / height)
    assert -1e-6 <= view.x0 < view.x1 <= CANVAS[name][0] + 1e-6
    assert -1e-6 <= view.y0 < view.y1 <= CANVAS[name][1] + 1e-6
    assert view.width / view.height == pytest.approx(width / height)


def views(name: str, *, fps: int = 15) -> list[Box]:
    keys = DEMO[name]
    count = round(keys[-1].seconds * fps)
    return [view_at(keys, number / fps, canvas=CANVAS[name], aspect=640 / 480) for number in range(count)]


def in_frame(view: Box, face: tuple[int, int, int]) -> tuple[float, float, float]:
    """x, y and width of a face in a frame of 640x480."""
    scale = 640 / view.width
    return (face[0] - view.x0) * scale, (face[1] - view.y0) * scale, face[2] * scale


def is_visible(view: Box, face: tuple[int, int, int]) -> bool:
    x, y, width = in_frame(view, face)
    return width / 2 < x < 640 - width / 2 and width / 2 < y < 480 - width / 2


@pytest.mark.parametrize("name", DEMO)
def test_the_demo_pans_like_a_camera(name: str) -> None:
    for before, after in pairwise(views(name)):
        for face in FACES[name]:
            x, y, width = in_frame(before, face)
            next_x, next_y, _ = in_frame(after, face)
            assert max(abs(next_x - x), abs(next_y - y)) < width / 3


@pytest.mark.parametrize("name", DEMO)
def test_a_face_leaves_the_demo_and_comes_back(name: str) -> None:
    seen = [is_visible(view, FACES[name][0]) for view in views(name)]
    gone = seen.index(False, seen.index(True))
    back = seen.index(True, gone)
    assert back - gone > 2 * 15, "long enough for its track to end"


def test_a_second_face_joins_the_demo_and_the_first_goes() -> None:
    counts = [sum(is_visible(view, face) for face in FACES["both"]) for view in views("both")]
    assert counts.count(2) > 15
    assert counts[-1] == 1
    assert is_visible(views("both")[-1], FACES["both"][1])


def test_the_demo_faces_are_large_enough_to_be_found() -> None:
    widths = [in_frame(view, face)[2] for view in views("both") for face in FACES["both"] if is_visible(view, face)]
    assert min(widths) > 80
    assert max(widths) < 210


def test_the_pictures_are_small_and_explained() -> None:
    files = {path.name for path in PICTURES.glob("*.jpg")}
    assert files == {"astronaut.jpg", "grace_hopper.jpg"}
    assert all(os.path.getsize(PICTURES / name) < 120_000 for name in files)
    assert all(name in (PICTURES / "SOURCES.md").read_text() for name in files)
