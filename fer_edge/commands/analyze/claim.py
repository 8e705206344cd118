"""Outputs belong to one run at a time: two that write into the same files would leave neither."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from fer_edge.commands.analyze.output import STDOUT
from fer_edge.errors import SinkError

SUFFIX = ".lock"


@contextmanager
def claimed(files: Mapping[str, str]) -> Iterator[None]:
    """Hold the files and folders of a run, by option, for as long as the block runs. The locks (flock(2)) stand beside
    them, in files that go with the run; what is left of one that was killed holds nothing.

    Raises:
        SinkError: another run has one of them.

    """
    with ExitStack() as stack:
        for option, path in files.items():
            if path != STDOUT and (os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path)):
                stack.enter_context(_claim(option, path))
        yield


@contextmanager
def _claim(option: str, path: str) -> Iterator[None]:
    name = os.path.realpath(path) + SUFFIX
    try:
        descriptor = _locked(name)
    except BlockingIOError:
        what = f"{path}: {_holder(name)} is writing it; wait until it has finished, or choose another --{option}"
        raise SinkError(what) from None
    except OSError:  # nothing can be made there: the output itself reports what is wrong, where that matters
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(name)
        os.close(descriptor)


def _locked(name: str) -> int:
    """The lock, held. Raises BlockingIOError where another process holds it."""
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(name), os.fstat(descriptor)):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                    return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has just ended and taken it away


def _holder(name: str) -> str:
    with suppress(OSError, ValueError), open(name, encoding="ascii") as file:
        return f"fer-edge analyze, process {int(file.read(20))},"
    return "another fer-edge analyze"
