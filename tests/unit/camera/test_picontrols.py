"""`fer_edge.camera.picontrols`: what config sets, on cameras that have it and on those that do not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from fer_edge.errors import CameraError
from tests.support.fake_libcamera import MODULE_3, Enums
from tests.support.fake_picamera2 import World, camera_of, install


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return install(monkeypatch)


ALL_CONTROLS = {
    "exposure_us": 20_000,
    "gain": 4.0,
    "awb": "daylight",
    "focus": "manual",
    "focus_dioptres": 2.0,
    "hdr": "night",
}


def test_what_config_sets(world: World) -> None:
    world.models, world.controls = ["imx708_wide"], MODULE_3
    camera = camera_of(fps=15.0, **ALL_CONTROLS)
    camera.open()
    camera.close()
    assert world.set_controls == {
        "FrameDurationLimits": (66667, 66667),
        "ExposureTime": 20_000,
        "AnalogueGain": 4.0,
        "AwbMode": Enums.AwbModeEnum.Daylight,
        "AfMode": Enums.AfModeEnum.Manual,
        "LensPosition": 2.0,
        "HdrMode": Enums.HdrModeEnum.Night,
    }


@pytest.mark.parametrize(
    ("focus", "wanted"),
    [
        ("continuous", {"AfMode": Enums.AfModeEnum.Continuous}),
        ("auto", {"AfMode": Enums.AfModeEnum.Auto, "AfTrigger": Enums.AfTriggerEnum.Start}),
    ],
)
def test_a_camera_with_autofocus_focuses(focus: str, wanted: dict[str, Any], world: World) -> None:
    world.models, world.controls = ["imx708"], MODULE_3
    camera = camera_of(focus=focus)
    camera.open()
    camera.close()
    assert {name: value for name, value in world.set_controls.items() if name.startswith("Af")} == wanted


@pytest.mark.parametrize("key", ["exposure_us", "gain", "awb", "focus", "hdr"])
def test_a_control_that_the_camera_lacks(key: str, world: World) -> None:
    del world.controls["AwbMode"], world.controls["ExposureTime"], world.controls["AnalogueGain"]
    more = {key: ALL_CONTROLS[key]} | ({"focus_dioptres": 2.0} if key == "focus" else {})
    with pytest.raises(
        CameraError,
        match=rf"^section camera, key {key}: the ov5647 has no \w+, only FrameDurationL\w+, Noise\w+; remove the key$",
    ):
        camera_of(**more).open()
    assert world.acquired == set(), "it was given back"


def test_a_value_that_the_camera_does_not_take(world: World) -> None:
    with pytest.raises(CameraError, match=r"^section camera, key gain: the ov5647 takes 1 to 63\.9, got 64\.0$"):
        camera_of(gain=64.0).open()


@pytest.mark.parametrize("hdr", ["sensor", "none"])
def test_the_sensors_own_hdr_is_switched_before_opening(hdr: str, world: World) -> None:
    world.models, world.sensor_hdr = ["imx708_wide_noir"], hdr == "none"
    camera = camera_of(hdr=hdr)
    camera.open()
    camera.close()
    assert world.sensor_hdr is (hdr == "sensor")
    assert "HdrMode" not in world.set_controls


def test_hdr_that_cannot_be_switched_on(world: World) -> None:
    with pytest.raises(CameraError, match=r"key hdr: only the Camera Module 3 \(imx708\) knows sensor, not the ov5647"):
        camera_of(hdr="sensor").open()
    world.models, world.refuses_hdr = ["imx708"], True
    with pytest.raises(CameraError, match=r"own cannot be switched on: the driver refuses; does another program use"):
        camera_of(hdr="sensor").open()


def test_hdr_that_cannot_be_switched_off_stops_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.models = ["imx708"]
    monkeypatch.setitem(sys.modules, "picamera2.devices.imx708", None)  # an older picamera2
    camera = camera_of()
    camera.open()
    assert camera.read().seq == 0
    camera.close()
