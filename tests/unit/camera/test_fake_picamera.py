"""The fake picamera2 refuses what the real one refuses; else tests over it would show nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fer_edge.testing.libcamera import ColorSpace, Transform
from fer_edge.testing.picamera2 import FakePicamera2, World, install


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return install(monkeypatch)


def opened() -> FakePicamera2:
    from picamera2 import Picamera2  # what `install` has put there

    camera: FakePicamera2 = Picamera2()
    return camera


def configuration(camera: FakePicamera2, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "main": {"size": (100, 60), "format": "RGB888"},
        "lores": {"size": (100, 60), "format": "YUV420"},
        "controls": {},
        "colour_space": ColorSpace.Sycc(),
        "transform": Transform(),
    }
    return camera.create_video_configuration(**(fields | more))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"lores": {"size": (200, 60), "format": "YUV420"}}, "may not exceed main stream"),
        ({"lores": {"size": (100, 60), "format": "RGB888"}}, "lores stream must be YUV"),
        ({"controls": {"Nonsense": 1}}, "Control Nonsense is not advertised"),
    ],
)
def test_what_the_pipeline_does_not_take(more: dict[str, Any], why: str, world: World) -> None:
    camera = opened()
    with pytest.raises(RuntimeError, match=why):
        camera.configure(configuration(camera, **more))
    with pytest.raises(RuntimeError, match="has not been configured"):
        camera.start()
    camera.close()
    assert world.acquired == set()


def test_a_running_camera_keeps_its_configuration_and_a_request_is_released_once(world: World) -> None:
    camera = opened()
    camera.configure(configuration(camera))
    camera.start()
    with pytest.raises(RuntimeError, match="must be stopped before configuring"):
        camera.configure(configuration(camera))
    request = camera.wait(camera.capture_request(wait=False), 10)
    assert request.make_array("main").shape == (60, 100, 3)
    request.release()
    with pytest.raises(RuntimeError, match="negative ref_count"):
        request.release()
    with pytest.raises(RuntimeError, match="the request was released"):
        request.memory("main")
    camera.close()
    assert (world.outstanding, world.acquired) == (0, set())


def test_who_keeps_every_buffer_gets_no_more(world: World) -> None:
    camera = opened()
    camera.configure(configuration(camera))
    camera.start()
    held = [camera.wait(camera.capture_request(wait=False), 10) for _ in range(6)]
    starved = camera.capture_request(wait=False)
    with pytest.raises(TimeoutError):
        camera.wait(starved, 0.05)
    for request in held:
        request.release()
    camera.wait(starved, 10).release()
    camera.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "fake-picamera2"]
