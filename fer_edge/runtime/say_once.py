"""Repeated log lines are written a few times and then counted, whatever causes them.

One mechanism for the whole daemon, in front of the handler: no sender of bad messages, no broken client and no failing
part can fill the disk with lines. It also writes out whatever could forge a line or steer a terminal.
"""

from __future__ import annotations

import logging
import time

from fer_edge.runtime.count_text import counted
from fer_edge.runtime.part_name import PART

BURST = 10
"""This many lines from one place in the code are written within a window, however their words differ."""

WINDOW_SECONDS = 60.0


class LastReason:
    """The reason for which a part of the daemon does not work, so that it is logged once in a row."""

    def __init__(self) -> None:
        self.text: str | None = None
        """None: it works."""

    def changes_to(self, reason: str | None) -> bool:
        """Set the current reason. Whether it differs from the last one."""
        before, self.text = self.text, reason
        return reason != before


class SayOnce(logging.Filter):
    """Lets BURST lines of a kind pass in WINDOW_SECONDS; the first one after that reports how many were left out.

    A kind is the place in the code that logs it, for each camera. Errors of ours with a traceback are lines like any
    other.
    """

    def __init__(self, *, burst: int = BURST, window_seconds: float = WINDOW_SECONDS) -> None:
        super().__init__()
        self._burst, self._window = burst, window_seconds
        self._kinds: dict[
            tuple[str, str, int], tuple[float, int]
        ] = {}  # camera and place -> window's begin (monotonic), lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        """False: it is only counted."""
        if record.levelno < logging.INFO:  # debug lines are never limited
            return True
        kind, now = (PART.get(), record.pathname, record.lineno), time.monotonic()
        begun, count = self._kinds.get(kind, (now, 0))
        left_out = 0
        if now - begun >= self._window:
            left_out = max(0, count - self._burst)
            begun, count = now, 0
        self._kinds[kind] = begun, count + 1
        if count >= self._burst:
            return False
        if left_out:
            record.msg, record.args = (
                f"{record.getMessage()} ({counted(left_out, 'similar line')} suppressed before)",
                None,
            )
        elif count == self._burst - 1:
            record.msg, record.args = (
                f"{record.getMessage()} (further lines like this are suppressed and counted)",
                None,
            )
        return True


def one_line(text: str) -> str:
    """Text on one line: what is not printable is written out."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class OneLineFormatter(logging.Formatter):
    """A formatter whose messages are one line each; tracebacks stay as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without what could begin another one."""
        record.message = one_line(record.message)
        return super().formatMessage(record)
