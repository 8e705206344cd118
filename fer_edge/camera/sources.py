"""What `analyze` reads, and whether it is still what it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import msgspec

from fer_edge.camera import Recording, open_camera
from fer_edge.camera.demo import PORTRAITS
from fer_edge.camera.file_kinds import file_kind
from fer_edge.camera.folder import (
    ALSO_JPEG,
    ANIMATED,
    FILMS,
    SUFFIXES,
    folder_files,
    is_animated,
    is_film,
    is_listed,
    natural,
    tell_left_out,
)
from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import Config
from fer_edge.errors import CameraError


def each_source(sources: Sequence[str], *, still: bool, without: Collection[str] = ()) -> list[str]:
    """What is read for what was named: the films of a folder are sources of their own, after its pictures.

    Args:
        sources: pictures, folders, films, URLs, demo.
        still: whether each picture stands for itself: the demo is its portraits then, and no film.
        without: real paths of a folder's files that are not read, as they are about to be written.

    """
    found: list[str] = []
    for source in sources:
        if still and source == "demo":
            found.append(PORTRAITS)
        else:
            found += _with_films(source, without) if os.path.isdir(source) else [source]
    return found


def _with_films(folder: str, without: Collection[str]) -> list[str]:
    try:
        files = [path for path in folder_files(Path(folder)) if os.path.realpath(path) not in without]
    except CameraError:  # reported when it is opened
        return [folder]
    films = [str(path) for path in files if is_film(path)]
    if not films or any(map(is_listed, files)):
        return [folder, *films]
    tell_left_out(Path(folder), files, with_films=True)
    return films


def source_config(config: CameraConfig, source: str) -> CameraConfig:
    """The camera section for a source given on the command line: pictures, folders and `demo` are replayed,
    everything else is a stream; all as they are stored, and as fast as they can be processed."""
    replayed = source.split(":")[0] == "demo" or os.path.isdir(source) or is_picture(source)
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


def is_picture(source: str) -> bool:
    """A GIF is taken for a film: it may be one, and one of a single frame is read just as well; so is an animated
    PNG, WebP or AVIF. A URL is a stream whatever its name, and a camera for snapshots where it gives a picture. What
    has a wrong name is taken for what it is."""
    suffix = Path(source).suffix.lower()
    if "://" in source or suffix == ".gif":
        return False
    kind = file_kind(source)
    role = kind.role if kind else "other"
    if suffix in SUFFIXES + ALSO_JPEG:
        return role != "film" and not (suffix in ANIMATED and is_animated(Path(source)))
    return role == "picture" and suffix not in FILMS and not _is_of_film(source)


def _is_of_film(source: str) -> bool:
    """Whether it is a picture of a kind that films without a container consist of."""
    kind = file_kind(source)
    return kind is not None and ("GIF" in kind.words or "JPEG picture" in kind.words or is_animated(Path(source)))


def open_source(config: Config, source: str) -> Recording:
    """Open a source. Raises CameraError."""
    camera = source_config(config.camera, source)
    if camera.backend != "replay":
        return cast(Recording, open_camera(camera))
    replay = ReplayCamera(camera, with_films=True)  # `each_source` sees to them
    replay.open()
    return cast(Recording, replay)


def is_live(source: str) -> bool:
    """Whether its data cannot be read again."""
    return source == "-" or "://" in source.removeprefix("file://")


def mark(source: str) -> str:
    """What changes when a source does: sizes and times of its files, not their content, which may be large."""
    path = Path(source.removeprefix("file://"))
    try:
        files = sorted(filter(is_listed, path.iterdir()), key=natural) if path.is_dir() else [path]
        each = [(os.fsencode(file.name).hex(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:  # the demo, or a file that is not there
        each = []
    return hashlib.sha256(repr((os.fsencode(source), each)).encode()).hexdigest()
