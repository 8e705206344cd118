"""Lines that come again and again are counted; none forges another."""

from __future__ import annotations

import io
import logging
import time
from types import SimpleNamespace

import pytest

from fer_edge.__main__ import JournalFormatter
from fer_edge.runtime import rate_limit
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.runtime.say_once import BURST, OneLineFormatter, SayOnce, one_line


def logger(filter_: SayOnce, formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(filter_)
    made = logging.Logger("test")
    made.addHandler(handler)
    return made, stream


def test_a_flood_of_different_lines_from_one_place_is_counted() -> None:
    log, stream = logger(SayOnce(window_seconds=0.2), OneLineFormatter("%(message)s"))

    def refuse(number: int) -> None:
        log.warning("refused: %d", number)

    for number in range(1000):
        refuse(number)
    log.warning("something else")
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST + 1
    assert lines[BURST - 1].endswith("(further lines like this are suppressed and counted)")
    assert lines[-1] == "something else"
    time.sleep(0.25)
    refuse(1000)
    assert stream.getvalue().splitlines()[-1] == f"refused: 1000 ({1000 - BURST} similar lines suppressed before)"


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


def test_a_rate_limit_lets_a_burst_pass_and_then_some(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: now[0]))
    limit = RateLimit(burst=3, every_seconds=0.05)
    assert [limit.allows() for _ in range(5)] == [True, True, True, False, False]
    now[0] += 0.06
    assert [limit.allows() for _ in range(2)] == [True, False]
