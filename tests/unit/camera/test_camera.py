"""The contract of `fer_edge.camera.Camera`, over every backend; those that this machine lacks skip with a reason."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec import structs

from fer_edge.camera import Camera, FrameMaker, open_camera
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.picamera import PiCamera
from fer_edge.camera.replay import ReplayCamera
from fer_edge.camera.stream import StreamCamera
from fer_edge.camera.v4l2 import V4l2Camera
from fer_edge.config import BACKENDS
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from fer_edge.testing import picamera2
from fer_edge.testing.v4l2 import Webcam
from tests.support.mjpeg_server import MjpegServer

CLASSES: dict[str, Callable[[CameraConfig], Camera]] = {
    "picamera2": PiCamera,
    "v4l2": V4l2Camera,
    "stream": StreamCamera,
    "replay": ReplayCamera,
}
ONE_BY_ONE = ["image", "folder", "demo", "file"]  # sources that are not live at pace max

Source = Iterator[CameraConfig]


@contextmanager
def image(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), noise(48, 64))
    yield config("replay", path, loop=True)


@contextmanager
def folder(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), noise(48 + number, 64))
    yield config("replay", tmp_path)


@contextmanager
def demo(_tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    yield config("replay", "demo", width=160, height=120)


@contextmanager
def file(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(5):
        writer.write(noise(48, 64))
    writer.release()
    yield config("stream", path)


@contextmanager
def http(_tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    with MjpegServer() as server:
        yield config("stream", server.url)


@contextmanager
def v4l2_real(_tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    if not Path("/dev/video0").exists():
        pytest.skip("no webcam: there is no /dev/video0")
    yield config("v4l2", "", width=640, height=480)


@contextmanager
def v4l2_fake(tmp_path: Path, patch: pytest.MonkeyPatch) -> Source:
    yield config("v4l2", Webcam(tmp_path, patch).node, width=320, height=240)


@contextmanager
def picamera2_real(_tmp_path: Path, _patch: pytest.MonkeyPatch) -> Source:
    if importlib.util.find_spec("picamera2") is None:
        pytest.skip("picamera2 is not installed (apt: python3-picamera2)")
    yield config("picamera2", "", width=640, height=480)


@contextmanager
def picamera2_fake(_tmp_path: Path, patch: pytest.MonkeyPatch) -> Source:
    world = picamera2.install(patch)
    yield config("picamera2", "", width=100, height=60)
    assert world.outstanding == 0, "a request was not released"


SOURCES = {
    source.__name__: source
    for source in (image, folder, demo, file, http, v4l2_real, v4l2_fake, picamera2_real, picamera2_fake)
}


def config(backend: str, source: str | Path, **more: Any) -> CameraConfig:
    fields: dict[str, Any] = {"pace": "max", "fps": 100.0, "timeout_seconds": 5.0}
    return CameraConfig(backend=backend, source=str(source), **(fields | more))


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(params=SOURCES)
def camera(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    with SOURCES[request.param](tmp_path, monkeypatch) as section:
        made = CLASSES[section.backend](section)
        yield made
        made.close()


def read(camera: Camera, count: int) -> list[Frame]:
    frames = [camera.read() for _ in range(count)]
    assert None not in frames
    return [frame for frame in frames if frame is not None]


def test_frames_have_the_documented_shapes(camera: Camera) -> None:
    camera.open()
    for frame in read(camera, 3):
        assert frame.image.shape == (frame.height, frame.width, 3)
        assert frame.gray.shape == (frame.height, frame.width)
        for array in (frame.image, frame.gray):
            assert array.dtype == np.uint8
            assert array.flags.c_contiguous
            assert array.flags.writeable


def test_numbers_and_times_go_on_over_reopening(camera: Camera) -> None:
    frames = []
    for _ in range(2):
        camera.open()
        frames += read(camera, 3)
        camera.close()
    assert [frame.seq for frame in frames] == list(range(6))
    assert all(before.taken_ns < after.taken_ns for before, after in pairwise(frames))


def test_arrays_belong_to_the_caller(camera: Camera) -> None:
    camera.open()
    [first] = read(camera, 1)
    first.image[:] = 7
    first.gray[:] = 9
    second, third = read(camera, 2)
    assert (first.image == 7).all()
    assert (first.gray == 9).all()
    arrays = [first.image, first.gray, second.image, second.gray, third.image, third.gray]
    for index, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[index + 1 :])


def test_it_says_what_it_is(camera: Camera) -> None:
    camera.open()
    assert camera.title
    assert camera.title.isprintable()


@pytest.mark.parametrize(("rotation", "hflip", "vflip"), [(0, True, False), (90, False, False), (270, True, True)])
@pytest.mark.parametrize(
    "name", [name for name in SOURCES if name.endswith("_fake") or name in ("image", "demo", "http")]
)
def test_every_backend_turns_and_mirrors(
    name: str, rotation: int, hflip: bool, vflip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SOURCES[name](tmp_path, monkeypatch) as section:
        frames = []
        for more in ({}, {"rotation": rotation, "hflip": hflip, "vflip": vflip}):
            camera = CLASSES[section.backend](structs.replace(section, **more))
            camera.open()
            frames += read(camera, 1)
            camera.close()
    plain, turned = frames
    wanted = np.rot90(plain.image, -rotation // 90)
    wanted = wanted[:, ::-1] if hflip else wanted
    wanted = wanted[::-1] if vflip else wanted
    assert turned.image.shape == (turned.height, turned.width, 3)
    assert turned.image.shape == wanted.shape
    if name in ("image", "demo", "http"):  # the others show something else each time
        assert (turned.image == wanted).all()
        assert np.abs(turned.gray - cv2.cvtColor(turned.image, cv2.COLOR_BGR2GRAY).astype(int)).max() <= 1


def test_a_closed_camera_reads_nothing(camera: Camera) -> None:
    with pytest.raises(CameraError, match="not open"):
        camera.read()
    camera.open()
    read(camera, 1)
    camera.close()
    with pytest.raises(CameraError, match="not open"):
        camera.read()


def test_close_may_come_at_any_time(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()


@pytest.mark.parametrize("name", SOURCES)
def test_only_what_waits_is_not_live(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SOURCES[name](tmp_path, monkeypatch) as section:
        assert CLASSES[section.backend](section).live is (name not in ONE_BY_ONE)


@pytest.mark.parametrize("name", ["folder", "demo", "file"])
def test_the_end_is_none_and_stays(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SOURCES[name](tmp_path, monkeypatch) as section:
        camera = open_camera(section)
        while camera.read() is not None:
            pass
        assert camera.read() is None
        camera.close()


@pytest.mark.parametrize("name", BACKENDS)
def test_the_table_of_backends(name: str) -> None:
    module, attribute = BACKENDS[name].split(":")
    assert getattr(importlib.import_module(module), attribute) is CLASSES[name]


def test_a_backend_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "v4l2", "fer_edge.camera.no_such_module:Camera")
    with pytest.raises(CameraError, match=r"camera\.backend 'v4l2' cannot be loaded: .*no_such_module"):
        open_camera(CameraConfig(backend="v4l2"))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_odd_arrays_become_bgr(shape: tuple[int, ...]) -> None:
    frame = FrameMaker(Orientation()).make(np.full(shape, 50, np.uint8), taken_ns=1)
    assert frame.image.shape == (4, 6, 3)
    assert frame.gray.shape == (4, 6)
    assert (frame.gray == 50).all()


PLAIN = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [[1, 2, 3], [4, 5, 6]]),
        ({"rotation": 90}, [[4, 1], [5, 2], [6, 3]]),
        ({"rotation": 180}, [[6, 5, 4], [3, 2, 1]]),
        ({"rotation": 270}, [[3, 6], [2, 5], [1, 4]]),
        ({"hflip": True}, [[3, 2, 1], [6, 5, 4]]),
        ({"vflip": True}, [[4, 5, 6], [1, 2, 3]]),
        ({"rotation": 180, "hflip": True}, [[4, 5, 6], [1, 2, 3]]),
        ({"rotation": 90, "hflip": True}, [[1, 4], [2, 5], [3, 6]]),
        ({"rotation": 270, "vflip": True}, [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_turning_comes_before_mirroring(settings: dict[str, Any], wanted: list[list[int]]) -> None:
    orientation = Orientation.of(CameraConfig(**settings))
    assert orientation(PLAIN).tolist() == wanted
    # a sensor mirrors before: then only the quarter turn is left
    hflip, vflip = orientation.before_turning
    mirrored = Orientation(hflip=hflip, vflip=vflip)(PLAIN)
    assert Orientation(orientation.quarter)(mirrored).tolist() == wanted


def test_gray_stands_in_for_colours() -> None:
    frame = FrameMaker(Orientation(quarter=True)).make_gray(PLAIN, taken_ns=7)
    assert frame.image.shape == (3, 2, 3)
    assert (frame.image == frame.gray[:, :, None]).all()
    assert np.shares_memory(frame.image, frame.gray)
    assert not frame.image.flags.writeable
    assert cv2.imencode(".jpg", frame.image)[0], "it can be looked at like any other"


def test_times_rise_even_where_the_clock_does_not() -> None:
    maker = FrameMaker(Orientation())
    picture = np.zeros((2, 2, 3), np.uint8)
    assert [maker.make(picture, taken_ns=at).taken_ns for at in (5, 5, 3, 9)] == [5, 6, 7, 9]
    assert [maker.make(picture, taken_ns=0).seq for _ in range(2)] == [4, 5]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "stream"])
def test_pyav_is_loaded_only_where_it_is_needed(backend: str) -> None:
    """It takes 17 MB, which is much on a Zero 2 W."""
    module = BACKENDS[backend].partition(":")[0]
    script = f"import sys, {module}; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
