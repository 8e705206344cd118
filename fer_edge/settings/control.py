"""What others ask of the running daemon: other settings, another look at config.yaml.

Asked by any thread, done one after the other by a thread of its own, for it waits for the disk; the data path looks at
`config` between two frames.
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
"""Requests that may wait. Nobody asks so much; what floods us is refused."""

END_SECONDS = 2.0

WRITE_SECONDS = 5.0
"""A change is written at once, those that follow within so many seconds together: whoever floods us must not wear out
an SD card."""

RELOAD_SECONDS = 2.0
"""config.yaml is read again at most so often, but for the first few times."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a part of the daemon fares, as it said itself."""

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
        """Whether somebody has asked the daemon to start anew."""
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
        """Call this, in the control's thread, after every change. To be said before `start`."""
        self._listeners.append(listener)

    def report(self, part: str, words: str, *, good: bool = False, retry_at: float | None = None) -> None:
        """Say how a part of the daemon fares, for those who show it. From any thread; the last word counts."""
        before = self._reports.get(part)
        since = before.since if before and before.good == good else time.monotonic()
        self._reports = self._reports | {part: Report(words, good, since, retry_at)}

    def reported(self, part: str) -> str:
        """How a part fares, in its own words; empty where it said nothing."""
        report = self.report_of(part)
        return report.words if report else ""

    def report_of(self, part: str) -> Report | None:
        """How a part fares, with since when; None where it said nothing."""
        return self._reports.get(part)

    def on_picture(self, viewer: Callable[[str, bytes], None]) -> None:
        """Call this with every picture of an event: what it is of, such as `alert/distress`, and its JPEG. To be said
        before the first frame."""
        self._viewers.append(viewer)

    def tell_picture(self, what: str, jpeg: bytes) -> None:
        """A picture was taken. In the thread of whoever took it."""
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
        """End the thread, after what was asked before, as far as there is time. May be called twice."""
        with contextlib.suppress(Full):  # then it ends after the next one
            self._jobs.put_nowait(None)
        self._ending.set()
        if self._worker.started:
            self._worker.join(END_SECONDS)

    def set(self, key: str, payload: bytes, reply: Callable[[Answer], None], *, keep: bool = True) -> bool:
        """Ask for another value; `reply` is called in the control's thread. Without `keep` it lasts until the restart.
        False: too many wait."""
        return self._ask(partial(self._set, key, payload, reply, keep=keep))

    def keep_all(self, reply: Callable[[str | None], None]) -> bool:
        """Ask that all that is in force outlasts the restart; the reply is what hinders it, if anything does."""
        return self._ask(partial(self._keep_all, reply))

    def draw(self, shapes: Mapping[str, Any], reply: Callable[[str | None], None]) -> bool:
        """Ask for other zones or another region (`Tuning.draw`); the reply is what hinders it, if anything does."""
        return self._ask(partial(self._draw, shapes, reply))

    def reload(self, reply: Callable[[Reload | str], None]) -> bool:
        """Ask for another look at config.yaml; the reply is what changed, or why it stays as it is."""
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
            if self._ending.is_set() and self._jobs.full():
                break
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
        """Write the changes that wait. What hinders it is said, and tried with the next change."""
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
