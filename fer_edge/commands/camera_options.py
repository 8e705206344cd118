"""The argument of commands that are about one camera, where the configuration has several."""

from __future__ import annotations

import argparse

from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.instance import device_id
from fer_edge.settings.cameras import each_camera


def add_camera_argument(parser: argparse.ArgumentParser) -> None:
    """Which camera."""
    parser.add_argument("--camera", metavar="NAME", help="which one, where the configuration has section cameras")


def camera_configs(config: Config) -> dict[str, Config]:
    """Every camera's configuration by name; under an empty name where there is one camera."""
    return each_camera(config, device_id(config))


def chosen_camera(config: Config, name: str | None) -> Config:
    """The configuration of the camera that was asked for.

    Raises:
        ConfigError: there is none of that name, or none was asked for though there are several.

    """
    cameras = camera_configs(config)
    if name is None and "" in cameras:
        return config
    if name in cameras and name:
        return cameras[name]
    if "" in cameras:
        raise ConfigError(f"--camera {name!r}: the configuration has no section cameras; leave --camera out")
    names = ", ".join(cameras)
    got = (
        f"--camera {name!r}: expected"
        if name is not None
        else "the configuration has several cameras: expected --camera with"
    )
    raise ConfigError(f"{got} one of {names}")
