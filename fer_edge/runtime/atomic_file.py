"""Files that outlast the process."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

FOR_ALL = 0o666


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
    # beside it under a name that nobody else uses: config.yaml.new is install.sh's
    partial = path.with_name(f"{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            if like:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
