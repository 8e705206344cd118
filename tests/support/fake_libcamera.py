"""A libcamera without a camera: what `fer_edge.camera.picamera` uses of the bindings (0.4.0), and the driver of the
Camera Module 3."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Protocol

import pytest

from fer_edge.camera import picontrols

Limits = tuple[float, float, float | None]
"""Least, most, default."""

FIXED_FOCUS: dict[str, Limits] = {
    "FrameDurationLimits": (8333, 15_534_385, 33_333),
    "ExposureTime": (14, 66_666, 20_000),
    "AnalogueGain": (1.0, 63.9, 1.0),
    "AwbMode": (0, 7, 0),
    "NoiseReductionMode": (0, 4, 0),
}
MODULE_3 = FIXED_FOCUS | {
    "AfMode": (0, 2, 0),
    "AfTrigger": (0, 1, 0),
    "LensPosition": (0.0, 32.0, 1.0),
    "HdrMode": (0, 4, 0),
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import libcamera` find the fake."""
    module = ModuleType("libcamera")
    module.Transform = Transform  # type: ignore[attr-defined]
    module.ColorSpace = ColorSpace  # type: ignore[attr-defined]
    module.controls = Enums  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libcamera", module)


class Enums:
    """libcamera.controls, version 0.4.0."""

    AwbModeEnum = IntEnum(
        "AwbModeEnum", "Auto Incandescent Tungsten Fluorescent Indoor Daylight Cloudy Custom", start=0
    )
    AfModeEnum = IntEnum("AfModeEnum", "Manual Auto Continuous", start=0)
    AfTriggerEnum = IntEnum("AfTriggerEnum", "Start Cancel", start=0)
    HdrModeEnum = IntEnum("HdrModeEnum", "Off MultiExposureUnmerged MultiExposure SingleExposure Night", start=0)


class ColorSpace:
    """Which is the full range, as JPEG has it, is all that matters here."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def Sycc(cls) -> ColorSpace:  # noqa: N802 - libcamera's name
        return cls("sYCC")


@dataclass(frozen=True)
class Transform:
    hflip: bool = False
    vflip: bool = False


class Sensors(Protocol):
    """The cameras of `fake_picamera2.World`, as their driver sees them."""

    models: list[str]
    acquired: set[int]
    sensor_hdr: bool
    refuses_hdr: bool


def install_imx708(world: Sensors, monkeypatch: pytest.MonkeyPatch) -> None:
    """picamera2's own helper for the Camera Module 3, and the driver behind it."""

    class IMX708:
        device_fd = -708

        def __init__(self, camera_num: int) -> None:
            if not world.models[camera_num].startswith("imx708"):
                raise RuntimeError("IMX708: Requested camera v4l2 device node not found")

        def __enter__(self) -> IMX708:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def set_sensor_hdr_mode(self, enable: bool) -> None:
            assert not world.acquired, "its modes would be others than those that were read when it was opened"
            if not world.refuses_hdr:  # the real one prints the driver's error, and returns
                world.sensor_hdr = enable

    def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
        assert (descriptor, request) == (IMX708.device_fd, picontrols.VIDIOC_G_CTRL)
        number, _ = picontrols.CONTROL.unpack(argument)
        assert number == picontrols.WIDE_DYNAMIC_RANGE
        return picontrols.CONTROL.pack(number, int(world.sensor_hdr))

    module = ModuleType("picamera2.devices.imx708")
    module.IMX708 = IMX708  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2.devices.imx708", module)
    monkeypatch.setattr(picontrols, "fcntl", SimpleNamespace(ioctl=ioctl))
