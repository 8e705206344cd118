"""part_name.py: log lines say whose they are, from whatever thread."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from fer_edge.runtime.part_name import NamePart, speaking_of
from fer_edge.runtime.say_once import SayOnce
from fer_edge.runtime.worker import Worker

log = logging.getLogger("test.part_name")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged, as the daemon's handler words it."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Handler()
    handler.addFilter(NamePart())
    handler.addFilter(SayOnce(burst=2))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)


def test_a_line_says_which_camera_it_is_about(logged: list[str]) -> None:
    log.info("begun with %d cameras", 2)
    with speaking_of("front"):
        log.info("the camera is back after %d s", 3)
    assert logged == ["begun with 2 cameras", "front: the camera is back after 3 s"]


def test_a_thread_speaks_in_the_name_in_which_it_was_made(logged: list[str]) -> None:
    with speaking_of("back"):
        worker = Worker("mqtt", lambda: log.info("connected"))
    worker.start()
    assert worker.join(10)
    assert logged == ["back: connected"]


def test_what_one_camera_repeats_does_not_silence_another(logged: list[str]) -> None:
    for name in ("front", "front", "front", "back"):
        with speaking_of(name):
            log.info("away")
    assert [line.partition(" (")[0] for line in logged] == ["front: away", "front: away", "back: away"]
