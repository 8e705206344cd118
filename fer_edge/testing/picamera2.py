"""A picamera2 without a camera: what `fer_edge.camera.picamera` uses of the real one (0.3.38), with its rules.

It raises where the real library does: unknown controls, odd or too large streams, a camera opened twice, a request
used after it was released or released twice. It starves as the real one does when requests are not released, and
buffers are overwritten as soon as they go back to the sensor. `World` is the hand that pulls its cable.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.camera.picamera import PiCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.testing import libcamera
from fer_edge.testing.libcamera import FIXED_FOCUS, ColorSpace, Limits, Transform

Array = NDArray[np.uint8]

ALIGN = 64  # bytes; rows are padded to it
PADDING = 255
BLUE_GREEN_RED = (10, 20, 30)
GRAY = 126


@dataclass
class World:
    """What surrounds the camera, and what a test may do to it."""

    models: list[str] = field(default_factory=lambda: ["ov5647"])
    # libcamera's name -> least, most, default; a Camera Module 3 on a Pi 5 has MODULE_3's
    controls: dict[str, Limits] = field(default_factory=lambda: dict(FIXED_FOCUS))
    flips: bool = True  # whether the sensor mirrors when it is asked to
    sensor_hdr: bool = False  # the Camera Module 3's own
    refuses_hdr: bool = False
    set_controls: dict[str, Any] = field(default_factory=dict)  # what was set before the start
    colour_copies: int = 0
    stalled: bool = False  # the cable is loose: no frame comes, nothing is reported
    failure: Exception | None = None  # what the next capture raises
    broken_metadata: bool = False
    finish_in_time: bool = False  # a job finishes between the caller's timeout and its cancelling
    formats: tuple[str, str] = ("RGB888", "YUV420")  # of main and lores, whatever is asked for
    lores_size: tuple[int, int] | None = None  # libcamera adjusts the size that was asked for
    stamp: Callable[[], int | None] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    hang: Event | None = None  # close() waits for it
    acquired: set[int] = field(default_factory=set)
    delivered: int = 0
    outstanding: int = 0  # requests that the application holds
    last_config: dict[str, Any] = field(default_factory=dict)


def install(monkeypatch: pytest.MonkeyPatch) -> World:
    """Make `import picamera2` find the fake."""
    world = World()
    module = ModuleType("picamera2")
    module.Picamera2 = type("Picamera2", (FakePicamera2,), {"world": world})  # type: ignore[attr-defined]
    module.MappedArray = MappedArray  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    libcamera.install(monkeypatch)
    libcamera.install_imx708(world, monkeypatch)
    return world


def camera_of(**more: Any) -> PiCamera:
    """A camera of 100x60 px and 100 frames per second, but for `more` keys of its section."""
    fields: dict[str, Any] = {"width": 100, "height": 60, "fps": 100.0}
    return PiCamera(CameraConfig(backend="picamera2", **(fields | more)))


class Buffers:
    """The memory of one request: bytes with padded rows, as the image processor writes them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.streams = {
            name: np.zeros((_rows(config[name]), _stride(config[name])), np.uint8) for name in ("main", "lores")
        }

    def fill(self, number: int, config: dict[str, Any]) -> None:
        width, height = config["main"]["size"]
        self.streams["main"][:] = PADDING
        if config["main"]["format"] == "RGB888":
            self.streams["main"][:, : width * 3] = np.tile(BLUE_GREEN_RED, width)
        else:
            self.streams["main"][:height, :width] = GRAY
            self.streams["main"][height:, :width] = 128  # U and V of no colour
        width, height = config["lores"]["size"]
        self.streams["lores"][:] = PADDING
        self.streams["lores"][:height, :width] = number % 200

    def wipe(self) -> None:
        for memory in self.streams.values():
            memory[:] = 0xAA


def _stride(stream: dict[str, Any]) -> int:
    width = stream["size"][0] * (3 if stream["format"] == "RGB888" else 1)
    return int(-(-width // ALIGN) * ALIGN)


def _rows(stream: dict[str, Any]) -> int:
    height = stream["size"][1]
    return int(height if stream["format"] == "RGB888" else height * 3 // 2)


class CompletedRequest:
    """A frame in the camera's own memory, lent until `release`."""

    def __init__(self, camera: FakePicamera2, buffers: Buffers, stamp: int | None) -> None:
        self._camera = camera
        self._buffers: Buffers | None = buffers
        self._stamp = stamp
        self.config = camera.config

    def memory(self, name: str) -> Array:
        if self._buffers is None:
            raise RuntimeError("failed to find buffer: the request was released")
        return self._buffers.streams[name]

    def make_array(self, name: str) -> Array:
        self._camera.world.colour_copies += 1
        width, height = self.config[name]["size"]
        assert name == "main", "of a YUV420 stream the real one returns all planes with their padding"
        if self.config[name]["format"] == "NV12":
            return self.memory(name)[:, :width].copy()
        return self.memory(name)[:, : width * 3].reshape(height, width, 3).copy()

    def get_metadata(self) -> dict[str, Any]:
        assert self._buffers is not None
        if self._camera.world.broken_metadata:
            raise RuntimeError("no metadata")
        return {} if self._stamp is None else {"SensorTimestamp": self._stamp}

    def release(self) -> None:
        if self._buffers is None:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        buffers, self._buffers = self._buffers, None
        self._camera.take_back(buffers)


class MappedArray:
    """A view into the camera's memory."""

    def __init__(self, request: CompletedRequest, stream: str, reshape: bool = True, write: bool = True) -> None:
        self._view = request.memory(stream)
        self.array: Array | None = None

    def __enter__(self) -> MappedArray:
        self.array = self._view
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.array = None


class Job:
    """A capture that waits for its frame."""

    def __init__(self) -> None:
        self.future: Future[CompletedRequest] = Future()


class FakePicamera2:
    """One camera, with a thread that plays both the sensor and picamera2's event loop."""

    world: World

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        if cls.world.failure is not None:
            raise cls.world.failure
        return [{"Model": model, "Num": number} for number, model in enumerate(cls.world.models)]

    def __init__(self, camera_num: int = 0) -> None:
        reading, self.notifyme_w = os.pipe()
        self.notifymeread = os.fdopen(reading, "rb")  # stays open where what follows fails
        if camera_num >= len(self.world.models):
            raise RuntimeError(f"No camera number {camera_num} found")
        if camera_num in self.world.acquired:
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.world.acquired.add(camera_num)
        self._number = camera_num
        self._changed = Condition()
        self._jobs: list[Job] = []
        self._free: list[Buffers] = []
        self._stopping = False
        self._thread: Thread | None = None
        self.config: dict[str, Any] = {}

    @property
    def camera_controls(self) -> dict[str, Limits]:
        return self.world.controls

    @property
    def camera_properties(self) -> dict[str, Any]:
        return {"Model": self.world.models[self._number]}

    def create_video_configuration(
        self,
        main: dict[str, Any],
        lores: dict[str, Any],
        controls: dict[str, Any],
        colour_space: ColorSpace,
        transform: Transform,
        buffer_count: int = 6,
    ) -> dict[str, Any]:
        for stream in (main, lores):  # the real one evens sizes too
            stream["size"] = (stream["size"][0] // 2 * 2, stream["size"][1] // 2 * 2)
        return {
            "main": main,
            "lores": lores,
            "controls": controls,
            "colour_space": colour_space,
            "transform": transform,
            "sensor": {"output_size": (1296, 972), "bit_depth": 10},
            "buffer_count": buffer_count,
        }

    def configure(self, config: dict[str, Any]) -> None:
        if self._thread is not None:
            raise RuntimeError("Camera must be stopped before configuring")
        main, lores = config["main"], config["lores"]
        if lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]:
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        if lores["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        main["format"], lores["format"] = self.world.formats
        self.set_controls(config["controls"])
        if not self.world.flips:
            config["transform"] = Transform()
        if self.world.lores_size:
            lores["size"] = self.world.lores_size
        self.config = self.world.last_config = config
        self._free = [Buffers(config) for _ in range(config["buffer_count"])]

    def set_controls(self, controls: dict[str, Any]) -> None:
        assert self._thread is None, "before the start, or the first frames go without them"
        for name, value in controls.items():
            if name not in self.world.controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
            self.world.set_controls[name] = value

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        if not self.config:
            raise RuntimeError("Camera has not been configured")
        self._thread = Thread(target=self._run, name="fake-picamera2", daemon=True)
        self._thread.start()

    def capture_request(self, wait: bool | None = None) -> Job:
        assert wait is False, "the fake knows only asynchronous captures: others can block for ever"
        with self._changed:
            job = Job()
            self._jobs.append(job)
            return job

    def wait(self, job: Job, timeout: float | None = None) -> CompletedRequest:
        return job.future.result(timeout)

    def cancel_all_and_flush(self) -> None:
        if self.world.finish_in_time:
            self._finish_job()
        with self._changed:
            for job in self._jobs:
                job.future.set_exception(CancelledError())
            self._jobs = []

    def close(self) -> None:
        if self.world.hang is not None:
            self.world.hang.wait()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.world.acquired.discard(self._number)
        self.notifymeread.close()
        os.close(self.notifyme_w)

    def take_back(self, buffers: Buffers) -> None:
        with self._changed:
            self.world.outstanding -= 1
            buffers.wipe()
            self._free.append(buffers)

    def _run(self) -> None:
        period = self.config["controls"].get("FrameDurationLimits", (10_000, 10_000))[0] / 1e6
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, period):
                    return
            if not self.world.stalled:
                self._finish_job()

    def _finish_job(self) -> None:
        with self._changed:
            if not self._jobs or not self._free:  # without a free buffer the sensor's frame is lost
                return
            job = self._jobs.pop(0)
            if self.world.failure is not None:
                job.future.set_exception(self.world.failure)
                return
            buffers = self._free.pop(0)
            self.world.delivered += 1
            self.world.outstanding += 1
            buffers.fill(self.world.delivered, self.config)
            job.future.set_result(CompletedRequest(self, buffers, self.world.stamp()))
