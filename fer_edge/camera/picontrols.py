"""What config sets on a Raspberry Pi camera, in libcamera's terms. What a camera lacks is an error."""

from __future__ import annotations

import fcntl
import logging
import struct
from importlib import import_module
from typing import Any

from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError

log = logging.getLogger(__name__)

HDR_MODES = {"single-exposure": "SingleExposure", "multi-exposure": "MultiExposure", "night": "Night"}

# from <linux/videodev2.h> and <linux/v4l2-controls.h>
VIDIOC_G_CTRL = 0xC008561B
CONTROL = struct.Struct("Ii")  # id, value
WIDE_DYNAMIC_RANGE = 0x009A0915

Controls = dict[str, Any]  # libcamera's name -> value


def wanted(config: CameraConfig, enums: Any) -> list[tuple[str, str, Any]]:
    """What config asks for beyond the camera's own choice: (key, control, value); `enums`: libcamera.controls."""
    found: list[tuple[str, str, Any]] = []
    if config.exposure_us is not None:
        found.append(("exposure_us", "ExposureTime", config.exposure_us))
    if config.gain is not None:
        found.append(("gain", "AnalogueGain", config.gain))
    if config.awb != "auto":
        found.append(("awb", "AwbMode", getattr(enums.AwbModeEnum, config.awb.capitalize())))
    if config.focus != "continuous":
        found.append(("focus", "AfMode", getattr(enums.AfModeEnum, config.focus.capitalize())))
    if config.focus == "auto":
        found.append(("focus", "AfTrigger", enums.AfTriggerEnum.Start))
    if config.focus_dioptres is not None:
        found.append(("focus_dioptres", "LensPosition", config.focus_dioptres))
    if config.hdr in HDR_MODES:
        found.append(("hdr", "HdrMode", getattr(enums.HdrModeEnum, HDR_MODES[config.hdr])))
    return found


def controls_for(config: CameraConfig, camera: Any, enums: Any) -> Controls:
    """The controls of a configured picamera2 camera, by libcamera's names.

    Raises CameraError: it lacks one that config asks for, or a value is out of its range.
    """
    there, model = camera.camera_controls, camera.camera_properties.get("Model", "camera")
    controls: Controls = {}
    if "AfMode" in there and config.focus == "continuous":
        controls["AfMode"] = enums.AfModeEnum.Continuous
    for key, name, value in wanted(config, enums):
        if name not in there:
            raise CameraError(
                f"section camera, key {key}: the {model} has no {name}, only {', '.join(sorted(there))}; remove the key"
            )
        low, high, _ = there[name]
        # AfTrigger and the modes are numbers too; a limit that is no number is none
        if isinstance(low, int | float) and isinstance(high, int | float) and not low <= float(value) <= high:
            given = getattr(config, key)
            raise CameraError(f"section camera, key {key}: the {model} takes {low:g} to {high:g}, got {given}")
        controls[name] = value
    return controls


def set_sensor_hdr(number: int, model: str, *, on: bool) -> None:
    """Switch a Camera Module 3's own high dynamic range, which is a setting of its driver that outlives the process.

    Must come before the camera is opened: its modes are others then. Raises CameraError where it cannot be switched on.
    """
    if not model.startswith("imx708"):
        if on:
            raise CameraError(
                f"section camera, key hdr: only the Camera Module 3 (imx708) knows sensor, not the {model}"
            )
        return
    try:
        module = import_module("picamera2.devices.imx708")
        with module.IMX708(number) as sensor:
            if _hdr_is_on(sensor) == on:
                return
            sensor.set_sensor_hdr_mode(on)  # prints errors and continues
            if _hdr_is_on(sensor) != on:
                raise OSError("the driver refuses; does another program use the camera?")
    except (ImportError, OSError, RuntimeError) as error:
        if on:
            raise CameraError(f"section camera, key hdr: the sensor's own cannot be switched on: {error}") from None
        log.debug("the sensor's own HDR cannot be switched off: %s", error)  # most likely it is off


def _hdr_is_on(sensor: Any) -> bool:
    answer = fcntl.ioctl(sensor.device_fd, VIDIOC_G_CTRL, CONTROL.pack(WIDE_DYNAMIC_RANGE, 0))
    return bool(CONTROL.unpack(answer)[1])
