"""The argument of commands that are about one camera, where the configuration has several."""

from __future__ import annotations

import argparse

from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.instance import device_id
from fer_edge.settings.cameras import each_camera

WHICH = "which one, where the configuration has section cameras"


def add_camera_argument(parser: argparse.ArgumentParser, text: str = WHICH) -> None:
    """Which camera; `text`: what that means, where it is more than that."""
    parser.add_argument("--camera", metavar="NAME", help=text)


def camera_configs(config: Config, name: str | None = None) -> dict[str, Config]:
    """Every camera's configuration by name, or only the one that was asked for; under an empty name where there is one
    camera. Raises ConfigError where there is none of that name."""
    cameras = each_camera(config, device_id(config))
    if name is None:
        return cameras
    if "" in cameras:
        raise ConfigError(f"--camera {name!r}: the configuration has no section cameras; leave --camera out")
    if name not in cameras:
        raise ConfigError(f"--camera {name!r}: expected one of {', '.join(cameras)}")
    return {name: cameras[name]}


def chosen_camera(config: Config, name: str | None) -> Config:
    """The configuration of the camera that was asked for, or of the only one.

    Raises:
        ConfigError: there is none of that name, or none was asked for though there are several.

    """
    cameras = camera_configs(config, name)
    if len(cameras) > 1:
        names = ", ".join(cameras)
        raise ConfigError(f"the configuration has several cameras: expected --camera with one of {names}")
    return next(iter(cameras.values()))


def only_one_given(option: str, camera: str | None) -> ConfigError:
    """The error where a device is named in two ways."""
    return ConfigError(f"--camera {camera!r}: {option} names a device already; leave one of them out")
