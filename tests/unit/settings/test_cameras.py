"""settings/cameras.py: section cameras, what each camera's configuration is, and what is wrong between them."""

from __future__ import annotations

import re

import pytest
import yaml

from fer_edge.config import Camera, CamerasConfig, Config
from fer_edge.errors import ConfigError
from fer_edge.settings.cameras import each_camera, place_of
from fer_edge.settings.constraints import combination_errors
from fer_edge.settings.loader import parse_config
from tests.support.paths import ROOT

TWO = "cameras:\n  front: {backend: v4l2}\n  back: {backend: v4l2, source: '1'}\n"
DOOR = "{door: {points: [[0, 0], [1, 0], [1, 1]]}}"


def each(text: str) -> dict[str, Config]:
    return each_camera(parse_config(text), "shop")


def findings(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return list(caught.value.findings)


def test_one_camera_is_what_it_was() -> None:
    config = parse_config("camera: {backend: v4l2}\n")
    assert type(config) is Config
    assert each_camera(config, "shop") == {"": config}


def test_each_camera_is_a_device_of_its_own() -> None:
    cameras = each(f"{TWO}homeassistant: {{name: Shop}}\nevents: {{enter: 0.7}}\n")
    assert [own.device.id for own in cameras.values()] == ["shop-front", "shop-back"]
    assert [own.camera for own in cameras.values()] == [Camera(backend="v4l2"), Camera(backend="v4l2", source="1")]
    assert [own.homeassistant.name for own in cameras.values()] == ["Shop front", "Shop back"]
    assert {own.events.enter for own in cameras.values()} == {0.7}
    assert {type(own) for own in cameras.values()} == {Config}


def test_zones_and_region_may_be_a_cameras_own() -> None:
    own = f"cameras:\n  front: {{zones: {DOOR}, detector: {{region: [0, 0, 0.5, 1]}}}}\n  back: {{source: '1'}}\n"
    cameras = each(
        f"{own}zones: {{till: {{points: [[0, 0], [1, 0], [0, 1]]}}}}\ndetector: {{region: [0, 0, 1, 0.5]}}\n"
    )
    assert [list(each.zones) for each in cameras.values()] == [["door"], ["till"]]
    assert [each.detector.region for each in cameras.values()] == [(0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 0.5)]


def test_an_alert_about_a_zone_is_that_cameras_which_has_it() -> None:
    alerts = "alerts: {near: {expressions: [fear], zone: door}, any: {expressions: [fear]}}\n"
    cameras = each(f"cameras:\n  front: {{zones: {DOOR}}}\n  back: {{source: '1'}}\n{alerts}")
    assert [list(each.alerts) for each in cameras.values()] == [["near", "any"], ["any"]]
    assert not any(map(combination_errors, cameras.values()))  # else nothing could be set over MQTT


def test_pictures_at_zones_are_that_cameras_which_has_one() -> None:
    more = "privacy: {images: true}\npictures: {enabled: true, at: [enter]}\n"
    cameras = each(f"cameras:\n  front: {{zones: {DOOR}}}\n  back: {{source: '1'}}\n{more}")
    assert [each.pictures.enabled for each in cameras.values()] == [True, False]
    assert not any(map(combination_errors, cameras.values()))


def test_files_and_the_display_are_shared_out() -> None:
    cameras = each(f"{TWO}jsonl: {{enabled: true, path: /tmp/events.jsonl}}\nhdmi: {{enabled: true}}\n")
    assert [own.jsonl.path for own in cameras.values()] == ["/tmp/events-front.jsonl", "/tmp/events-back.jsonl"]
    assert [own.hdmi.enabled for own in cameras.values()] == [True, False]
    for stream in ("-", "/dev/stdout"):
        cameras = each(f"{TWO}jsonl: {{enabled: true, path: '{stream}'}}\n")
        assert {own.jsonl.path for own in cameras.values()} == {stream}
    in_memory = each(f"{TWO}jsonl: {{enabled: true, path: /dev/shm/events.jsonl}}\n")
    assert in_memory["back"].jsonl.path == "/dev/shm/events-back.jsonl"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("camera: {}\ncameras:\n  a: {}\n", "2: section cameras: expected either camera or cameras, got both; keep"),
        ("cameras:\n", "1: section cameras: expected a name with keys below it for each camera, got none; name one"),
        ("cameras: {}\n", "1: section cameras: expected a name with keys below it for each camera, got none; name one"),
        ("cameras: [1]\n", "1: section cameras: expected a name with keys below it for each camera, got [1]"),
        ("cameras:\n  a/b: {}\n", "2: section cameras, key a/b: expected a name of 1 to 64 letters, digits, _ and -"),
        ("cameras:\n  a: 7\n", "2: section cameras, key a: expected keys below it, got 7"),
        ("cameras:\n  a: {fsp: 3}\n", "2: section cameras, key a.fsp: unknown, expected a key of a; did you mean fps?"),
        ("cameras:\n  a:\n    fps: 0\n", "3: section cameras, key a.fps: expected "),
        ("cameras:\n  a: {detector: {min_score: 1}}\n", "2: section cameras, key a.detector.min_score: unknown"),
        ("cameras:\n  a:\n    detector: 3\n", "3: section cameras, key a.detector: expected keys below it, got 3"),
        (
            "cameras:\n  a:\n    zones: 3\n",
            "3: section cameras, key a.zones: expected a name with keys below it for each",
        ),
        (
            "cameras:\n  a:\n    zones:\n      door:\n        points: [[0, 0], [1, 1], [1, 0], [0, 1]]\n",
            "5: section cameras, key a.zones.door.points: expected the points in order around the zone",
        ),
        (
            "cameras:\n  a:\n    detector:\n      region: [0.5, 0, 0.4, 1]\n",
            "4: section cameras, key a.detector.region: expected left < right",
        ),
        (
            "detector: {region: [1, 0, 0, 1]}\ncameras:\n  a:\n",
            "1: section detector, key region: expected left < right",
        ),
        ("cameras:\n  a: {backend: stream}\n", "2: section cameras, key a.source: expected a file, folder or URL"),
        ("cameras:\n  a: {backend: v4l2, hdr: night}\n", "2: section cameras, key a.hdr: expected none: backend"),
        ("cameras:\n  a: {}\n  a: {}\n", "3: section cameras, key a: given twice (first on line 2); keep one"),
        (
            f"device: {{id: {'x' * 60}}}\ncameras:\n  front: {{}}\n",
            "1: section device, key id: expected at most 64 letters together with - and the name of camera front",
        ),
        (
            "cameras:\n  a: {}\nalerts: {x: {expressions: [fear], zone: door}}\n",
            "3: section alerts, key x.zone: expected null or a name of section zones, which has none",
        ),
        (
            "cameras:\n  a: {}\nmqtt: {port: 0}\n",
            "3: section mqtt, key port: expected 1 to 65535",
        ),
    ],
)
def test_what_is_wrong_is_one_clear_line(text: str, line: str) -> None:
    (finding,) = findings(text)
    assert finding.startswith(f"config.yaml:{line}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}", "{source: '0'}"),
        ("{source: '1'}", "{source: '01'}"),
        ("{backend: v4l2}", "{backend: v4l2, source: /dev/video0}"),
        ("{backend: v4l2, source: '2'}", "{backend: v4l2, source: /dev/../dev/video2}"),
        (
            "{backend: stream, source: 'rtsp://a:b@Cam.local:554/live/'}",
            "{backend: stream, source: 'rtsp://cam.local/live'}",
        ),
        (
            "{backend: stream, source: 'rtsp://cam/live?password=secret'}",
            "{backend: stream, source: 'rtsp://cam/live?password=secret'}",
        ),
    ],
)
def test_the_same_camera_twice_is_an_error(one: str, other: str) -> None:
    (finding,) = findings(f"cameras:\n  front: {one}\n  back: {other}\n")
    assert (
        "config.yaml:3: section cameras, key back.source: expected another device or address than cameras.front"
        in finding
    )
    assert "cam" not in finding.partition("source: ")[2].replace("cameras.front", "")  # no password, wherever it stands


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}", "{source: '1'}"),
        ("{}", "{backend: v4l2}"),
        ("{backend: replay, source: demo}", "{backend: replay, source: demo}"),
        ("{backend: stream, source: film.mp4}", "{backend: stream, source: film.mp4}"),
        ("{backend: stream, source: 'http://cam/?id=1'}", "{backend: stream, source: 'http://cam/?id=2'}"),
        ("{backend: stream, source: 'rtsp://cam:8554/a'}", "{backend: stream, source: 'rtsp://cam:8555/a'}"),
    ],
)
def test_different_cameras_and_the_same_film_are_not(one: str, other: str) -> None:
    assert isinstance(parse_config(f"cameras:\n  front: {one}\n  back: {other}\n"), CamerasConfig)


def test_a_place_is_told_without_passwords() -> None:
    assert place_of(Camera(source="00")) == place_of(Camera()) != place_of(Camera(source="1" * 5000))
    place = place_of(Camera(backend="stream", source="rtsp://me:secret@cam/live"))
    assert place == ("stream", "rtsp://cam/live")


def test_the_example_of_config_yaml_can_be_used() -> None:
    text = (ROOT / "config.yaml").read_text()
    block = text[text.index("# cameras:\n") :]
    example = re.sub(r"^# ?", "", block, flags=re.MULTILINE)
    assert list(yaml.safe_load(example)) == ["cameras"]
    cameras = each(example)
    assert [(own.device.id, own.camera.source, list(own.zones)) for own in cameras.values()] == [
        ("shop-front", "0", ["door"]),
        ("shop-back", "1", []),
    ]
