"""A file of whole lines that rotates."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from pathlib import Path

log = logging.getLogger(__name__)


class LineFile:
    """Appends whole lines to a file, or to stdout (path "-"), straight to the system: nothing waits in a buffer.

    A regular file rotates before it outgrows `max_bytes`: NAME -> NAME.1 -> ... -> NAME.<backups>; without
    backups it is truncated. One that was moved, deleted or replaced meanwhile is reopened under its name, which
    suits logrotate. All methods raise OSError.
    """

    def __init__(self, path: str, *, max_bytes: int, backups: int) -> None:
        self._path, self._max_bytes, self._backups = path, max_bytes, backups
        self._descriptor: int | None = None
        self._size: int | None = None  # bytes in the file; None: nothing that could rotate
        self._torn = False  # what stands there last is part of a line
        self._opened_once = False

    def open(self) -> int:
        """Open for appending, where it is not open. The descriptor."""
        if self._descriptor is not None:
            return self._descriptor
        if self._path == "-":
            if sys.stdout is None:
                raise OSError(errno.EBADF, "stdout is closed")
            sys.stdout.flush()  # what was printed before comes first
            self._descriptor = os.dup(sys.stdout.fileno())
            return self._descriptor
        if self._opened_once:  # so its folder was there
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._opened_once = True
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode):
            self._size = status.st_size
            self._torn = status.st_size > 0 and os.pread(self._descriptor, 1, status.st_size - 1) != b"\n"
        return self._descriptor

    def write(self, line: bytes) -> None:
        """Append a line (which ends with a newline). Where that fails, no part of it stays in the file."""
        if self._moved():
            log.info("%s was moved, deleted or replaced; continuing in a new file of that name", self._path)
            self.close()
        descriptor = self.open()
        if self._size and self._size + len(line) > self._max_bytes:
            descriptor = self._rotate()
        data, done = (b"\n" + line if self._torn else line), 0
        try:
            while done < len(data):
                done += os.write(descriptor, data[done:])
        except OSError:
            self._take_back(descriptor, done)
            raise
        self._torn = False
        if self._size is not None:
            self._size += done

    def _moved(self) -> bool:
        """Whether what is open is not what stands under the name any more; also notes how large it is: others may cut
        it off."""
        if self._descriptor is None or self._size is None:
            return False
        ours = os.fstat(self._descriptor)
        self._size = ours.st_size
        try:
            there = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _take_back(self, descriptor: int, written: int) -> None:
        """Remove the first `written` bytes of a line; where that cannot be, the next line starts on its own."""
        if not written:
            return
        before = self._torn
        self._torn = True
        if self._size is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._size)
                self._torn = before

    def _rotate(self) -> int:
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, self._backups + 1))]
        if not self._backups:
            Path(self._path).unlink()
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if Path(newer).exists():
                Path(newer).replace(older)
        self.close()
        return self.open()

    def close(self) -> None:
        """Close; `write` would open it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self._size = None
        self._torn = False
