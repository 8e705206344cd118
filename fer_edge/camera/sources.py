"""What `analyze` reads, and whether it is still what it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import cast

import msgspec

from fer_edge.camera import Recording, open_camera
from fer_edge.camera.replay import SUFFIXES
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import Config


def source_config(config: CameraConfig, source: str) -> CameraConfig:
    """The camera section for a source given on the command line: pictures, folders and `demo` are replayed,
    everything else is a stream; all as they are stored, and as fast as they can be looked at."""
    replayed = source.split(":")[0] == "demo" or os.path.isdir(source) or _is_picture(source)
    return msgspec.structs.replace(
        config,
        backend="replay" if replayed else "stream",
        source=source,
        pace="max",
        loop=False,
        rotation=0,
        hflip=False,
        vflip=False,
    )


def _is_picture(source: str) -> bool:
    """A GIF is taken for a film: it may be one, and one of a single frame is read just as well."""
    suffix = Path(source).suffix.lower()
    return suffix in SUFFIXES and suffix != ".gif"


def open_source(config: Config, source: str) -> Recording:
    """Open a source. Raises CameraError."""
    return cast(Recording, open_camera(source_config(config.camera, source)))


def is_live(source: str) -> bool:
    """Whether what was read of it is gone."""
    return "://" in source.removeprefix("file://")


def mark(source: str) -> str:
    """What changes when a source does: sizes and times of its files, not their content, which may be large."""
    path = Path(source.removeprefix("file://"))
    try:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        each = [(os.fsencode(file.name).hex(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:  # the demo, or a file that is not there
        each = []
    return hashlib.sha256(repr((os.fsencode(source), each)).encode()).hexdigest()
