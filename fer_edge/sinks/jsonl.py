"""The JSON Lines sink: one event a line, the same bytes as the MQTT message, to stdout or a file that rotates."""

from __future__ import annotations

import logging
from threading import Event

import msgspec

from fer_edge.config import Config, Jsonl
from fer_edge.contract.encode import event_payload
from fer_edge.errors import SinkError
from fer_edge.records import Identity, Update
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.line_file import LineFile
from fer_edge.runtime.say_once import LastReason
from fer_edge.runtime.worker import Backlog, Worker
from fer_edge.settings.control import Control

log = logging.getLogger(__name__)

QUEUE = 1000
"""Lines that may wait for a disk that is full or slow."""

RETRY_SECONDS = 1.0


class JsonlSink:
    """Writes every event as one line of JSON. A full disk costs only, eventually, the oldest lines."""

    pictures = False

    def __init__(self, config: Config, identity: Identity, _control: Control) -> None:
        settings = config.jsonl
        self._name = "stdout" if settings.path == "-" else settings.path
        self._file = LineFile(settings.path, max_bytes=settings.max_bytes, backups=settings.backups)
        self._identity = identity
        self._lines: Backlog[bytes] = Backlog(QUEUE)
        self._worker = Worker("jsonl", self._run)
        self._closing = Event()
        self._gone = False  # stdout's reader has left
        self._trouble = LastReason()

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
        """Write what is queued, within `timeout` seconds. Never raises."""
        if self._closing.is_set() or not self._worker.started:
            return
        self._closing.set()
        self._lines.wake()
        if self._worker.join(timeout):
            self._file.close()
        if lost := self._lines.dropped + len(self._lines):
            log.warning("JSONL: %s could not be written to %s", counted(lost, "event"), self._name)

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
            log.warning("JSONL: %s has no reader any more; no more lines are written there", self._name)
        except OSError as error:
            self._report(error.strerror or str(error))
            return False
        else:
            self._recover()
        return True

    def _report(self, reason: str) -> None:
        """Log a reason, once in a row."""
        if self._trouble.changes_to(reason):
            what = f"up to {QUEUE} events wait, then the oldest are dropped; free space or check permissions"
            log.error("JSONL: cannot write to %s: %s; trying again; %s", self._name, reason, what)

    def _recover(self) -> None:
        if self._trouble.changes_to(None):
            log.info(
                "JSONL: writing to %s again (%s dropped since the start)",
                self._name,
                counted(self._lines.dropped, "event"),
            )


def _open(file: LineFile, name: str) -> None:
    """Open a file, or say in one line why not."""
    try:
        file.open()
    except OSError as error:
        what = f"{name}: cannot open for appending (jsonl.path): {error.strerror or error}"
        raise SinkError(f"{what}; expected a file in a folder that exists and that this user may write to") from None
