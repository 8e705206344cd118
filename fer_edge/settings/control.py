"""Requests to the running daemon: other settings, reloading config.yaml.

Called by any thread, carried out one after the other by its own thread, since that waits for the disk; the data path
reads `config` between two frames.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event
from typing import Any

from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.runtime.worker import Worker
from fer_edge.settings.loader import load_config
from fer_edge.settings.overrides import Answer, Reload, Tuning

log = logging.getLogger(__name__)

QUEUE = 100
"""Requests that may be queued; beyond that they are refused."""

END_SECONDS = 2.0

WRITE_SECONDS = 5.0
"""A change is written at once, those that follow within this many seconds together: a flood must not wear out
an SD card."""

RELOAD_SECONDS = 2.0
"""config.yaml is reloaded at most this often, except for the first few times."""


@dataclass(frozen=True, slots=True)
class Report:
    """The health of a part of the daemon, as reported by itself."""

    words: str
    good: bool
    since: float  # monotonic seconds; since when it has been good, or has not
    retry_at: float | None  # monotonic seconds; when it is tried next, as far as that is known


class Control:
    """The configuration in force, and the thread that changes it."""

    def __init__(
        self,
        config: Config,
        *,
        path: Path | None = None,
        folder: Path | None = None,
        part: Callable[[Config], Config] = lambda config: config,
    ) -> None:
        """`path`: the configuration file, to be read again; `folder`: where changes outlast a restart; `part`: what of
        the file is this one's, where there are several cameras. Raises ConfigError where it has none any more."""
        self._path, self._part = path, part
        self._tuning = Tuning(config, folder)
        for warning in self._tuning.warnings:
            log.warning("%s", warning)
        self._jobs: Queue[Callable[[], None] | None] = Queue(QUEUE)
        self._worker = Worker("control", self._run)
        self._ending = Event()
        self._listeners: list[Callable[[], None]] = []
        self.restart_required = False
        self.restart_wanted = False
        """Whether a restart of the daemon was requested."""
        self._reports: dict[str, Report] = {}
        self._viewers: list[Callable[[str, bytes], None]] = []
        self._written = -WRITE_SECONDS  # when changes were last written (monotonic seconds)
        self._reloads = RateLimit(burst=3, every_seconds=RELOAD_SECONDS)

    @property
    def config(self) -> Config:
        """The configuration in force: another object after every change."""
        return self._tuning.config

    @property
    def path(self) -> Path | None:
        """The configuration file."""
        return self._path and self._path.absolute()

    def answers(self) -> tuple[Answer, ...]:
        """Every key that can be set, with its value in force."""
        return self._tuning.answers()

    @property
    def tuning(self) -> Tuning:
        """For those who show what can be set."""
        return self._tuning

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this, in the control's thread, after every change. To be registered before `start`."""
        self._listeners.append(listener)

    def report(self, part: str, words: str, *, good: bool = False, retry_at: float | None = None) -> None:
        """Report the health of a part of the daemon, for those who show it. From any thread; the last report counts."""
        before = self._reports.get(part)
        since = before.since if before and before.good == good else time.monotonic()
        self._reports = self._reports | {part: Report(words, good, since, retry_at)}

    def reported(self, part: str) -> str:
        """A part's health in words; empty where it reported nothing."""
        report = self.report_of(part)
        return report.words if report else ""

    def report_of(self, part: str) -> Report | None:
        """A part's health, with since when; None where it reported nothing."""
        return self._reports.get(part)

    def on_picture(self, viewer: Callable[[str, bytes], None]) -> None:
        """Call this with every picture of an event: what it is of, such as `alert/distress`, and its JPEG. To be
        registered before the first frame."""
        self._viewers.append(viewer)

    def tell_picture(self, what: str, jpeg: bytes) -> None:
        """A picture was taken. In the thread that took it."""
        for viewer in self._viewers:
            viewer(what, jpeg)

    @property
    def waiting(self) -> int:
        """How many requests wait to be carried out."""
        return self._jobs.qsize()

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        self._worker.check()

    def close(self) -> None:
        """End the thread, after the queued requests, as far as there is time. May be called twice."""
        self._ending.set()
        with contextlib.suppress(Full):  # then it ends after the next one, or with the last
            self._jobs.put_nowait(None)
        if self._worker.started:
            self._worker.join(END_SECONDS)

    def set(self, key: str, payload: bytes, reply: Callable[[Answer], None], *, keep: bool = True) -> bool:
        """Request another value; `reply` is called in the control's thread. Without `keep` it lasts until the restart.
        False: too many wait."""
        return self._ask(partial(self._set, key, payload, reply, keep=keep))

    def keep_all(self, reply: Callable[[str | None], None]) -> bool:
        """Request that all values in force survive the restart; the reply is what prevents it, if anything does."""
        return self._ask(partial(self._keep_all, reply))

    def draw(self, shapes: Mapping[str, Any], reply: Callable[[str | None], None]) -> bool:
        """Request other zones or another region (`Tuning.draw`); the reply is what prevents it, if anything does."""
        return self._ask(partial(self._draw, shapes, reply))

    def reload(self, reply: Callable[[Reload | str], None]) -> bool:
        """Request a reload of config.yaml; the reply is what changed, or why nothing did."""
        return self._reloads.allows() and self._ask(partial(self._reload, reply))

    def _ask(self, job: Callable[[], None]) -> bool:
        try:
            self._jobs.put_nowait(job)
        except Full:
            return False
        return True

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            job()
            if self._ending.is_set() and (self._jobs.full() or self._jobs.empty()):
                break  # there was, or is, no room for the None that would end it
        self._write()

    def _next_job(self) -> Callable[[], None] | None:
        """Wait for it; meanwhile what was changed is written when it is time."""
        if self._tuning.written:
            return self._jobs.get()
        try:
            return self._jobs.get(timeout=max(0.0, self._written + WRITE_SECONDS - time.monotonic()))
        except Empty:
            return self._write

    def _at_once(self) -> bool:
        """Whether a change is written now; else with those that follow."""
        return time.monotonic() - self._written >= WRITE_SECONDS

    def _write(self) -> None:
        """Write the pending changes. A failure is logged, and retried with the next change."""
        if not self._tuning.written:
            self._written = time.monotonic()
            if trouble := self._tuning.write():
                log.warning("changes will not survive a restart: %s", trouble)

    def _set(self, key: str, payload: bytes, reply: Callable[[Answer], None], *, keep: bool) -> None:
        before, at_once = self.config, self._at_once()
        answer = self._tuning.set(key, payload, keep=keep, write=at_once)
        if at_once and keep and answer.accepted:
            self._written = time.monotonic()
        if self.config is not before:
            log.info("%s is now %s", answer.key, answer.value)
            self._tell()
        reply(answer)

    def _draw(self, shapes: Mapping[str, Any], reply: Callable[[str | None], None]) -> None:
        before = self.config
        at_once = self._at_once()
        trouble = self._tuning.draw(shapes, write=at_once)
        if self.config is not before:
            self._written = time.monotonic() if at_once else self._written
            log.info("drawn on the live page: %s", ", ".join(shapes))
            self._tell()
        reply(trouble)

    def _keep_all(self, reply: Callable[[str | None], None]) -> None:
        at_once = self._at_once()
        trouble = self._tuning.keep_all(write=at_once)
        self._written = time.monotonic() if at_once else self._written
        self._tell()
        reply(trouble)

    def _reload(self, reply: Callable[[Reload | str], None]) -> None:
        outcome = self._read_again()
        if isinstance(outcome, str):
            log.error("the configuration is unchanged: %s", outcome)
        else:
            self._tell()
        reply(outcome)

    def _read_again(self) -> Reload | str:
        if self._path is None:
            return "there is no configuration file to read"
        try:
            new = self._part(load_config(self._path))
        except ConfigError as error:
            return str(error).replace("\n", "; ")
        outcome = self._tuning.reload(new)
        self.restart_required = bool(outcome.needs_restart)
        changed, waiting = ", ".join(outcome.changed) or "nothing", ", ".join(outcome.needs_restart) or "none"
        log.info("%s was read again; changed: %s; keys that need a restart: %s", self._path, changed, waiting)
        for warning in outcome.warnings:
            log.warning("%s", warning)
        return outcome

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
