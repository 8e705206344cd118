"""Lets the real picamera2 run with libcamera's virtual cameras, in every Python that has this folder in its path.

Nothing of picamera2's own code is replaced but what needs a Pi's kernel or a display: its memory comes from memfd
instead of a DMA heap, and the modules for displays, DNG files and ffmpeg are empty. libcamera's virtual pipeline
(0.4.0) completes a request as soon as it is queued; here it gets requests at the frame rate that libcamera was told.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from threading import Event, Thread
from types import ModuleType, SimpleNamespace
from typing import Any


def _empty(name: str, **names: Any) -> None:
    module = ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        return name


# picamera2 imports them in any case
_empty("kms", PixelFormats=_AnyName("PixelFormats", (), {}))
_empty("prctl")
_empty("pidng")
_empty("pidng.core", PICAM2DNG=None)
_empty("pidng.camdefs", Picamera2Camera=None)

import libcamera  # noqa: E402
from picamera2 import Picamera2  # noqa: E402
from picamera2.allocators import dmaallocator  # noqa: E402
from picamera2.dma_heap import UniqueFD  # noqa: E402


class MemoryHeap:
    """A DMA heap of ordinary memory, with a descriptor of its own as the real one."""

    def __init__(self) -> None:
        self._descriptor = os.open("/dev/null", os.O_RDWR)

    def alloc(self, name: str, size: int) -> Any:
        descriptor = os.memfd_create(name)
        os.truncate(descriptor, size)
        return UniqueFD(descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def two_planes(planes: list[Any]) -> Any:
    """A frame buffer of NV12. A Pi's pipeline takes one plane for all, the virtual one wants two."""
    [luma] = planes
    chroma = libcamera.FrameBuffer.Plane()
    size = luma.length
    luma.length = size * 2 // 3
    chroma.fd = luma.fd
    chroma.offset, chroma.length = luma.length, size - luma.length
    return libcamera.FrameBuffer([luma, chroma])


def sensor_modes(self: Any) -> list[dict[str, Any]]:
    """Virtual cameras have no raw stream, by which picamera2 asks for these."""
    formats = self.camera.generate_configuration([libcamera.StreamRole.Viewfinder]).at(0).formats
    return [
        {"format": str(each), "size": (size.width, size.height)}
        for each in formats.pixel_formats
        for size in formats.sizes(each)
    ]


class Sensor:
    """Takes a request at each frame time; without one, the frame is lost."""

    def __init__(self, camera: Any, period: float) -> None:
        self.requests: deque[Any] = deque()
        self._camera, self._period, self._stop = camera, period, Event()
        self._thread = Thread(target=self._run, name="sensor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            if self.requests:
                queue(self._camera, self.requests.popleft())


sensors: dict[str, Sensor] = {}
start, stop, queue = libcamera.Camera.start, libcamera.Camera.stop, libcamera.Camera.queue_request


def start_sensor(camera: Any, controls: dict[Any, Any]) -> None:
    start(camera, controls)
    [limits] = [value for name, value in controls.items() if name.name == "FrameDurationLimits"]
    sensors[camera.id] = Sensor(camera, limits[0] / 1e6)


def stop_sensor(camera: Any) -> None:
    sensors.pop(camera.id).stop()
    stop(camera)


libcamera.Camera.start, libcamera.Camera.stop = start_sensor, stop_sensor
libcamera.Camera.queue_request = lambda camera, request: sensors[camera.id].requests.append(request)
two_planes.Plane = libcamera.FrameBuffer.Plane  # type: ignore[attr-defined]
dmaallocator.DmaHeap = MemoryHeap
dmaallocator.libcamera = SimpleNamespace(FrameBuffer=two_planes)
dmaallocator.fcntl = SimpleNamespace(ioctl=lambda *_: 0)  # there is no cache to keep in step
Picamera2._get_raw_modes = sensor_modes  # picamera2 asks it for what the kernel's virtual camera lacks
