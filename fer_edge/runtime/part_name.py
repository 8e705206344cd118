"""Whose log lines these are, where one daemon has several cameras: the camera's name stands before them.

A thread speaks in the name that was set where it was made (`in_context`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial

PART: ContextVar[str] = ContextVar("part", default="")
"""The camera that log lines are about; empty: the daemon, or its only camera."""


@contextmanager
def speaking_of(name: str) -> Iterator[None]:
    """Log lines within are about this camera, and so are those of threads that are made within."""
    token = PART.set(name)
    try:
        yield
    finally:
        PART.reset(token)


def in_context(target: Callable[[], None]) -> Callable[[], None]:
    """Wrap what a thread runs, so that its log lines are about the camera that is set now."""
    return partial(copy_context().run, target)


class NamePart(logging.Filter):
    """Puts the camera's name before each log line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        if name := PART.get():
            record.msg, record.args = f"{name}: {record.getMessage()}", None
        return True
