"""Events as lines."""

from __future__ import annotations

import pytest

from fer_edge.commands.watch.lines import Lines, event_line
from fer_edge.commands.watch.received import ReceivedEvent
from fer_edge.commands.watch.view import WatchOptions
from tests.support.watch_views import event


@pytest.mark.parametrize(
    "seen", [ReceivedEvent("update", 123, None, "happiness", 1.0, previous="neutral", dwell_s=9999.9)]
)
def test_a_line_fits_60_columns(seen: ReceivedEvent) -> None:
    line = event_line("living-room", seen, narrow=True)
    assert line == "--:--:--  living-ro…  #123  update  happiness 100%  9999.9 s"
    assert len(line) <= 60


@pytest.mark.parametrize("topic", ["fer-edge/attic/alert/smiling", "fer-edge/attic", "elsewhere"])
def test_what_was_not_subscribed_to_is_ignored(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    Lines(WatchOptions()).show(topic, b"{}")
    assert capsys.readouterr() == ("", "")


def test_output_to_a_pipe_has_no_colours_and_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    viewer = Lines(WatchOptions())
    viewer.show("fer-edge/a-device-with-a-very-long-name/event", event())
    viewer.show("fer-edge/kitchen/availability", b"offline")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
    assert "a-device-…  #7" in lines[0]


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (ReceivedEvent("start"), "--:--:--  hall        ?     start   no expression             0.0 s"),
        (
            ReceivedEvent("update", 3, reason="of_the_future"),
            "--:--:--  hall        #3    update  of_the_future             0.0 s",
        ),
        (
            ReceivedEvent("update", 12, "nonsense", "surprise", 7.5, replayed=True, dwell_s=3600),
            "--:--:--  hall        #12   update  surprise  100% ######  3600.0 s  replayed",
        ),
        (
            ReceivedEvent("leave", 3, reason="dark", dwell_s=99.0, zone="front_door_left", zone_dwell_s=4.2),
            "--:--:--  hall        #3    leave   too dark                  4.2 s  front_door_",
        ),
    ],
)
def test_lines_of_odd_events(seen: ReceivedEvent, line: str) -> None:
    assert event_line("hall", seen, ascii_only=True) == line
    assert len(line) <= 80
