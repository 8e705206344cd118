"""The JSON Lines sink: one event a line, the same bytes as the MQTT message, to stdout or a file that rotates."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from pathlib import Path
from threading import Event

import msgspec

from fer_edge.config import Config, Jsonl
from fer_edge.control import Control
from fer_edge.errors import SinkError
from fer_edge.messages import event_payload
from fer_edge.payloads import Identity
from fer_edge.records import Update
from fer_edge.worker import Backlog, Worker

log = logging.getLogger(__name__)

QUEUE = 1000
"""Lines that may wait for a disk that is full or slow."""

RETRY_SECONDS = 1.0


class LineFile:
    """Appends whole lines to a file, or to stdout (path "-"), straight to the system: nothing waits in a buffer.

    A regular file rotates before it outgrows `max_bytes`: NAME -> NAME.1 -> ... -> NAME.<backups>; without
    backups it starts anew. All methods raise OSError.
    """

    def __init__(self, path: str, *, max_bytes: int, backups: int) -> None:
        self._path, self._max_bytes, self._backups = path, max_bytes, backups
        self._descriptor: int | None = None
        self._size: int | None = None  # bytes in the file; None: nothing that could rotate
        self._torn = False  # what stands there last is part of a line

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
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode):
            self._size = status.st_size
            self._torn = status.st_size > 0 and os.pread(self._descriptor, 1, status.st_size - 1) != b"\n"
        return self._descriptor

    def write(self, line: bytes) -> None:
        """Append a line (which ends with a newline). Where that fails, no part of it stays in the file."""
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


class JsonlSink:
    """Writes every event as one line of JSON. A full disk costs nothing but, in the end, the oldest lines."""

    pictures = False

    def __init__(self, config: Config, identity: Identity, _control: Control | None = None) -> None:
        settings = config.jsonl
        self._name = "stdout" if settings.path == "-" else settings.path
        self._file = LineFile(settings.path, max_bytes=settings.max_bytes, backups=settings.backups)
        self._identity = identity
        self._lines: Backlog[bytes] = Backlog(QUEUE)
        self._worker = Worker("jsonl", self._run)
        self._closing = Event()
        self._gone = False  # stdout's reader has left
        self._trouble: str | None = None  # the reason that was logged last

    def start(self) -> None:
        """Open the file.

        Raises:
            SinkError: it cannot be opened for appending.

        """
        _open(self._file, self._name)
        self._worker.start()

    @staticmethod
    def check(settings: Jsonl) -> None:
        """Open the file and close it again. Raises SinkError as `start` does."""
        file = LineFile(settings.path, max_bytes=settings.max_bytes, backups=settings.backups)
        _open(file, settings.path)
        file.close()

    def submit(self, update: Update) -> None:
        """Queue the events of an update. Returns at once; raises what stopped the thread."""
        self._worker.check()
        if self._gone or self._closing.is_set():
            return
        for event in update.events:
            self._lines.put(msgspec.json.encode(event_payload(event, self._identity)) + b"\n")

    def close(self, timeout: float) -> None:
        """Write what waits, within `timeout` seconds. Never raises."""
        if self._closing.is_set() or not self._worker.started:
            return
        self._closing.set()
        self._lines.wake()
        if self._worker.join(timeout):
            self._file.close()
        if lost := self._lines.dropped + len(self._lines):
            log.warning("JSONL: %d events could not be written to %s", lost, self._name)

    def _run(self) -> None:
        """The thread: line by line, until closed and empty."""
        while not self._gone:
            line = self._lines.get(timeout=60.0)
            if line is None and self._closing.is_set():
                return
            if line is not None and not self._write(line):
                self._lines.put_back([line])
                if self._closing.is_set():
                    return
                self._closing.wait(RETRY_SECONDS)

    def _write(self, line: bytes) -> bool:
        """Write a line. False: not now."""
        try:
            self._file.write(line)
        except BrokenPipeError:
            self._gone = True
            log.warning("JSONL: nobody reads %s any more; no more lines are written there", self._name)
        except OSError as error:
            self._report(error.strerror or str(error))
            return False
        else:
            self._recover()
        return True

    def _report(self, reason: str) -> None:
        """Log a reason, once in a row."""
        if reason != self._trouble:
            self._trouble = reason
            what = f"up to {QUEUE} events wait, then the oldest are dropped; free space or check permissions"
            log.error("JSONL: cannot write to %s: %s; trying again; %s", self._name, reason, what)

    def _recover(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            log.info("JSONL: writing to %s again (%d events dropped since the start)", self._name, self._lines.dropped)


def _open(file: LineFile, name: str) -> None:
    """Open a file, or say in one line why not."""
    try:
        file.open()
    except OSError as error:
        what = f"{name}: cannot open for appending (jsonl.path): {error.strerror or error}"
        raise SinkError(f"{what}; expected a file in a folder that exists and that this user may write to") from None
