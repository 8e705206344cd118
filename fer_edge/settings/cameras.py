"""Several cameras in one daemon: what the configuration of each is, and what is wrong between them.

Each camera is, for everything behind this, a device of its own with a `Config` of its own: its section `camera`, its
zones and region, and the device id `<device id>-<name>`, on which topics, entities and state folder hang.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from msgspec.structs import replace

from fer_edge.config import Camera, CamerasConfig, Config, NamedCamera, Pictures, Zone
from fer_edge.settings.constraints import Combination, camera_errors, common_errors, polygon_errors

ID_LENGTH = 64
"""Letters of a device id, as `Name` has it."""

MADE_ID_LENGTH = 12
"""Of one that is made from the machine's id."""

USUAL_PORTS = {"rtsp": ":554", "http": ":80", "https": ":443"}


def each_camera(config: Config, device: str) -> dict[str, Config]:
    """Every camera's name and configuration, in the order of config.yaml; where there is one camera, its name is empty
    and the configuration stays what it is. `device`: the daemon's device id."""
    if not isinstance(config, CamerasConfig):
        return {"": config}
    return {name: _one(config, name, camera, device) for name, camera in config.cameras.items()}


def _one(config: CamerasConfig, name: str, camera: NamedCamera, device: str) -> Config:
    zones = zones_of(config, camera)
    sections = {field: getattr(config, field) for field in Config.__struct_fields__}
    called, first = config.homeassistant.name, next(iter(config.cameras))
    return Config(
        **sections
        | {
            "device": replace(config.device, id=f"{device}-{name}"),
            "camera": Camera(**{field: getattr(camera, field) for field in Camera.__struct_fields__}),
            "detector": replace(config.detector, region=camera.detector.region or config.detector.region),
            "zones": zones,
            "alerts": {key: rule for key, rule in config.alerts.items() if rule.zone is None or rule.zone in zones},
            "pictures": _pictures_of(config.pictures, zones),
            "homeassistant": replace(config.homeassistant, name=called and f"{called} {name}"),
            "jsonl": replace(config.jsonl, path=_path_of(config.jsonl.path, name)),
            "hdmi": replace(config.hdmi, enabled=config.hdmi.enabled and name == first),  # there is one display
        }
    )


def zones_of(config: CamerasConfig, camera: NamedCamera) -> dict[str, Zone]:
    """A camera's own zones, else those of section `zones`."""
    return config.zones if camera.zones is None else camera.zones


def _pictures_of(pictures: Pictures, zones: Mapping[str, Zone]) -> Pictures:
    """Section pictures of a camera, of which none enters a zone where it has none."""
    at = tuple(each for each in pictures.at if zones or each != "enter")
    return replace(pictures, at=at or pictures.at, enabled=pictures.enabled and bool(at))


def _path_of(path: str, name: str) -> str:
    """Where a camera's JSON lines go: beside the file that config names; a stream takes those of all."""
    in_memory = path.startswith("/dev/shm/")  # noqa: S108 - a folder like any other
    stream = path == "-" or (path.startswith("/dev/") and not in_memory)
    return path if stream else str(Path(path).with_stem(f"{Path(path).stem}-{name}"))


def several_errors(config: CamerasConfig) -> list[Combination]:
    """`combination_errors` of a configuration with section `cameras`."""
    every_zone = {key: zone for camera in config.cameras.values() for key, zone in zones_of(config, camera).items()}
    common = common_errors(replace(config, zones=every_zone | dict(config.zones)))
    own = {f"{zone}.points" for zone in every_zone.keys() - config.zones.keys()}  # each is looked at with its camera
    found = [(section, keys, what) for section, keys, what in common if section != "zones" or keys[0] not in own]
    for name, camera in config.cameras.items():
        found += _errors_of(config, name, camera)
    found += _same_devices(config.cameras)
    return list(dict.fromkeys(found))


def _errors_of(config: CamerasConfig, name: str, camera: NamedCamera) -> Iterator[Combination]:
    """What is wrong with one camera, at its own keys, or at the common ones where it has none."""
    for section, keys, what in camera_errors(_one(config, name, camera, "")):
        if section == "camera":
            yield "cameras", tuple(f"{name}.{key}" for key in keys), what.replace("camera.", f"cameras.{name}.")
        elif camera.detector.region is None:
            yield section, keys, what
        else:
            yield "cameras", tuple(f"{name}.{section}.{key}" for key in keys), what
    for section, keys, what in polygon_errors(camera.zones or {}):
        yield "cameras", tuple(f"{name}.{section}.{key}" for key in keys), what
    own = len(config.device.id) if config.device.id else MADE_ID_LENGTH
    if own + 1 + len(name) > ID_LENGTH:
        what = f"expected at most {ID_LENGTH} letters together with - and the name of camera {name}"
        yield "device", ("id",), what


def _same_devices(cameras: Mapping[str, NamedCamera]) -> Iterator[Combination]:
    """Cameras that are one and the same: only one can open it."""
    for (first, one), (second, other) in combinations(cameras.items(), 2):
        if place_of(one) is not None and place_of(one) == place_of(other):
            what = f"expected another device or address than cameras.{first} has; change it, or remove one of the two"
            yield "cameras", (f"{second}.source", f"{first}.source"), what


def place_of(camera: Camera) -> tuple[str, str] | None:
    """What device or address a camera is, to be compared, not shown: an address may hold a password. None: files, which
    several may read."""
    source = camera.source
    if camera.backend == "picamera2":
        return "picamera2", f"camera {source.lstrip('0') or 0}" if source.isdecimal() else source or "camera 0"
    if camera.backend == "v4l2":
        node = f"/dev/video{source or 0}" if not source or source.isdecimal() else source
        return "v4l2", os.path.realpath(node)
    if camera.backend == "stream" and "://" in source.removeprefix("file://"):
        scheme, _, rest = source.partition("://")
        host, slash, path = rest.partition("/")
        host = host.rpartition("@")[2].lower().removesuffix(USUAL_PORTS.get(scheme.lower(), ""))
        return "stream", f"{scheme.lower()}://{host}{slash}{path}".rstrip("/")
    return None
