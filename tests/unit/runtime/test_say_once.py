"""Lines that come again and again are counted; none forges another."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import pytest

from fer_edge.__main__ import JournalFormatter
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.runtime.say_once import BURST, OneLineFormatter, SayOnce, one_line


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of both, set by the test."""
    seconds = [1000.0]
    for module in ("say_once", "rate_limit"):
        monkeypatch.setattr(f"fer_edge.runtime.{module}.time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


def logger(filter_: SayOnce, formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(filter_)
    made = logging.Logger("test")
    made.addHandler(handler)
    return made, stream


def test_a_flood_of_different_lines_from_one_place_is_counted(now: list[float]) -> None:
    log, stream = logger(SayOnce(window_seconds=60.0), OneLineFormatter("%(message)s"))

    def refuse(number: int) -> None:
        log.warning("refused: %d", number)

    for number in range(1000):
        refuse(number)
    log.warning("something else")
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST + 1
    assert lines[BURST - 1].endswith("(further lines like this are suppressed and counted)")
    assert lines[-1] == "something else"
    now[0] += 59.0
    refuse(1000)
    assert len(stream.getvalue().splitlines()) == BURST + 1
    now[0] += 1.0
    refuse(1001)
    assert stream.getvalue().splitlines()[-1] == f"refused: 1001 ({1001 - BURST} similar lines suppressed before)"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\u202eb"])
def test_no_text_from_outside_begins_a_line_or_steers_a_terminal(text: str) -> None:
    for formatter in (OneLineFormatter("%(message)s"), JournalFormatter("%(message)s")):
        log, stream = logger(SayOnce(), formatter)
        log.warning("MQTT: set/%s: refused", text)
        (line,) = stream.getvalue().splitlines()
        assert line.isprintable()
    assert one_line("Küche 温度") == "Küche 温度"


def test_a_traceback_keeps_its_lines() -> None:
    log, stream = logger(SayOnce(), OneLineFormatter("%(message)s"))
    try:
        raise RuntimeError("of ours")
    except RuntimeError:
        log.exception("failed")
    assert "RuntimeError: of ours" in stream.getvalue().splitlines()[-1]
    assert len(stream.getvalue().splitlines()) > 3


def test_a_rate_limit_lets_a_burst_pass_and_then_some(now: list[float]) -> None:
    limit = RateLimit(burst=3, every_seconds=0.5)
    assert [limit.allows() for _ in range(5)] == [True, True, True, False, False]
    now[0] += 0.75
    assert [limit.allows() for _ in range(2)] == [True, False]
