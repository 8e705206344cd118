"""Files that survive a power cut."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

FOR_ALL = 0o666
STRAY = re.compile(r"\.[0-9a-f]{16}\.partial")
"""What a power cut leaves of a file that was to take the place of another one."""


def replace_file(path: Path, data: bytes, *, mode: int = 0o640, like: os.stat_result | None = None) -> None:
    """Give a file another content in one step: at every moment it has the old one or the new one, power cut or not.

    The folder is made where it is missing. `mode`: the file's permissions, less what the umask takes; FOR_ALL is for
    what people show each other. `like`: it gets the permissions of another one instead and, as root, its owner. What a
    link leads to is replaced, not the link; a device or a pipe is written to as it is. Raises OSError; the old content
    then stays.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # /dev/null must stay what it is
        path.write_bytes(data)
        return
    replace_files({path: data}, mode=mode, like=like)


def replace_files(files: Mapping[Path, bytes], *, mode: int = 0o640, like: os.stat_result | None = None) -> None:
    """The same for several files, whose folders exist; none is replaced before all are written. Raises OSError."""
    partials: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            descriptor, partials[path] = create_beside(path, mode=mode)
            with os.fdopen(descriptor, "wb") as file:
                _write(file, data, like)
        for path, partial in partials.items():
            partial.replace(path)
    except OSError:
        for partial in partials.values():
            with contextlib.suppress(OSError):
                partial.unlink()
        raise
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def _write(file: BinaryIO, data: bytes, like: os.stat_result | None) -> None:
    """Write a file to the disk, with the permissions and, as root, the owner of another one."""
    if like:
        with contextlib.suppress(PermissionError):
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def create_beside(path: Path, *, mode: int = 0o640) -> tuple[int, Path]:
    """Create a file in the same folder, open for writing, which is to take the place of `path`.

    As `tempfile.mkstemp` does, under a name that cannot be guessed and is not taken: a link that somebody has put
    there is not followed. Unlike mkstemp with permissions that obey the umask. Raises OSError.
    """
    while True:
        partial = path.with_name(f".{secrets.token_hex(8)}.partial")  # its length does not depend on path's
        with contextlib.suppress(FileExistsError):
            return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), partial


def remove_strays(folder: Path, *, older_seconds: float = 0.0) -> None:
    """Remove what `create_beside` made in a folder and a power cut, or a kill, kept from taking its place.
    `older_seconds`: what is younger may still be written, by another process."""
    newest = time.time() - older_seconds
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if (
                    STRAY.fullmatch(path.name)
                    and stat.S_ISREG((found := path.lstat()).st_mode)
                    and found.st_mtime < newest
                ):
                    path.unlink()
                    log.info("%s: removed; its writer was interrupted", path)


def sync_folder(folder: Path) -> None:
    """Make a rename last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
