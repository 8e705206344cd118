"""sinks/hdmi.py: the preview comes and goes with the display, and nothing of that reaches the daemon."""

from __future__ import annotations

import errno
import logging
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fer_edge.commands.check import findings
from fer_edge.config import Camera, Config, Hdmi
from fer_edge.drawing.painter import DrawStyle, Painter, status_line
from fer_edge.errors import SinkError
from fer_edge.records import Box, Image, Update
from fer_edge.settings.control import Control
from fer_edge.sinks import open_sinks
from fer_edge.sinks.hdmi.screen import find
from fer_edge.sinks.hdmi.sink import HdmiSink
from fer_edge.testing.brokers import wait_for
from fer_edge.testing.displays import FULL_HD
from fer_edge.testing.drm import FakeCard, FakeNode
from tests.support.drawings import STATS, backdrop, face
from tests.support.face_events import IDENTITY
from tests.support.sink_helpers import logged
from tests.support.threads import runs

FRAME = backdrop(640, 480)
FACE = face(Box(200, 100, 300, 240))
UPDATE = Update(FRAME, faces=(FACE,))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sinks.hdmi.sink.LOOK_SECONDS", 0.02)


@pytest.fixture
def card(tmp_path: Path) -> FakeCard:
    (tmp_path / "card0").touch()
    return FakeCard()


@contextmanager
def running(card: FakeCard, folder: Path, **settings: Any) -> Iterator[HdmiSink]:
    camera = Camera(timeout_seconds=settings.pop("timeout_seconds", 60.0))
    config = Config(camera=camera, hdmi=Hdmi(enabled=True, **{"mode": "640x480", **settings}))
    sink = HdmiSink(config, IDENTITY, Control(config), finder=partial(find, folder=folder, opener=card.open))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(5.0)
        assert not card.nodes, "the display is given back"
        assert not card.torn


def shows(card: FakeCard, expected: Image) -> bool:
    with card.lock:
        return bool(card.nodes and not card.shows_console() and (card.picture() == expected).all())


def painted(update: Update, **look: bool) -> Image:
    assert update.frame
    return Painter(DrawStyle(**look)).paint(update.frame, update.faces, status=status_line(update.faces, None))


PAINTED = painted(UPDATE)


def test_the_newest_picture_is_shown_and_the_console_comes_back(card: FakeCard, tmp_path: Path) -> None:
    with running(card, tmp_path) as sink:
        sink.submit(UPDATE)
        wait_for(lambda: shows(card, PAINTED), "the picture is shown")
    assert card.shows_console()
    sink.submit(UPDATE)
    sink.close(1.0)


@pytest.mark.parametrize("look", [{"images": False}, {"landmarks": False}, {"mirror": True}])
def test_what_is_shown(card: FakeCard, tmp_path: Path, look: dict[str, bool]) -> None:
    with running(card, tmp_path, **look) as sink:
        sink.submit(UPDATE)
        expected = painted(UPDATE, **look)
        wait_for(lambda: shows(card, expected), "the picture is shown")


def test_the_status_line_keeps_the_last_figures(card: FakeCard, tmp_path: Path) -> None:
    expected = Painter().paint(FRAME, [FACE], status=status_line([FACE], STATS))
    with running(card, tmp_path) as sink:
        sink.submit(replace(UPDATE, stats=STATS))
        sink.submit(UPDATE)
        wait_for(lambda: shows(card, expected), "the figures are shown")
    with running(card, tmp_path, status=False) as sink:
        sink.submit(replace(UPDATE, stats=STATS))
        expected = Painter().paint(FRAME, [FACE])
        wait_for(lambda: shows(card, expected), "the picture is shown without them")


def test_only_the_newest_of_many_is_drawn(card: FakeCard, tmp_path: Path) -> None:
    """However slow the display, taking an update in costs the daemon next to nothing."""
    with running(card, tmp_path, max_fps=10.0) as sink:
        begun, spent = time.monotonic(), []

        def another() -> bool:
            before = time.monotonic()
            sink.submit(UPDATE)
            spent.append(time.monotonic() - before)
            return card.flips >= 5

        wait_for(another, "five pictures are shown")
        assert card.flips <= 10 * (time.monotonic() - begun) + 2
        assert len(spent) > card.flips
        assert statistics.median(spent) < 0.05  # a frame's time is 0.1 s
        last = replace(UPDATE, faces=())
        sink.submit(last)
        expected = painted(last)
        wait_for(lambda: shows(card, expected), "the last one is shown")


def test_unplugged_and_plugged_in_again(card: FakeCard, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(card, tmp_path) as sink:
        for times in (1, 2):
            sink.submit(UPDATE)
            wait_for(lambda: shows(card, PAINTED), "the picture is shown")
            card.plug(False)
            wait_for(lambda: logged(caplog, "HDMI-A-1 is unplugged; waiting") == times, "that is noticed")  # noqa: B023
            wait_for(lambda: logged(caplog, "no display is connected") == times, "and waited out")  # noqa: B023
            for _ in range(20):
                sink.submit(UPDATE)
                time.sleep(0.01)
            assert logged(caplog, "no display is connected") == times, "told once"
            card.plug(True)
        sink.submit(UPDATE)
        wait_for(lambda: shows(card, PAINTED), "the picture is shown")
        wait_for(lambda: logged(caplog, "HDMI: the preview is on HDMI-A-1 of ") > 0, "that is told")


def test_another_master(card: FakeCard, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = card.open()
    with running(card, tmp_path) as sink:
        wait_for(lambda: logged(caplog, "another program is using the display") == 1, "that is told")
        time.sleep(0.2)
        sink.submit(UPDATE)
        assert logged(caplog, "another program is using the display") == 1, "once"
        other.close()
        wait_for(lambda: shows(card, PAINTED), "the display is taken over")


def test_a_display_that_does_not_answer_fills_no_log(
    card: FakeCard, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.sinks.hdmi.screen.FLIP_SECONDS", 0.01)
    monkeypatch.setattr("fer_edge.sinks.hdmi.sink.LOOK_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    card.answers_flips = False
    with running(card, tmp_path) as sink:

        def tried(times: int) -> bool:
            sink.submit(UPDATE)
            return card.set_modes >= 2 * times  # taken over and given back

        wait_for(lambda: tried(3), "it is tried again and again")
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.endswith(": has not shown a picture for 0.01 s")
        card.answers_flips = True
        wait_for(lambda: tried(0) and shows(card, PAINTED), "the picture is shown")
        wait_for(lambda: logged(caplog, "HDMI: the preview is on ") == 1, "that is told")


def test_without_any_display_the_daemon_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.sinks.hdmi.sink.LOOK_SECONDS", 60.0)
    with running(FakeCard(), tmp_path) as sink:  # no device in the folder
        wait_for(lambda: logged(caplog, "no display device in") == 1, "that is told")
        sink.submit(UPDATE)
    assert not runs("hdmi"), "it does not wait for one at the end"


def test_a_camera_that_is_away(card: FakeCard, tmp_path: Path) -> None:
    notice = Painter().notice("no picture from the camera", (640, 480)).copy()
    with running(card, tmp_path, timeout_seconds=0.5) as sink:
        wait_for(lambda: shows(card, notice), "there is none yet")
        sink.submit(UPDATE)
        wait_for(lambda: shows(card, PAINTED), "there is one")
        sink.submit(Update(None))
        wait_for(lambda: shows(card, notice), "the camera is away")
        sink.submit(UPDATE)
        wait_for(lambda: shows(card, PAINTED), "it is back")
        wait_for(lambda: shows(card, notice), "nothing comes any more")


def test_a_fault_of_our_own_ends_the_preview_only(
    card: FakeCard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = replace(UPDATE, faces=(replace(FACE, expression="no expression"),))
    with running(card, tmp_path) as sink:
        sink.submit(broken)
        wait_for(lambda: logged(caplog, "the hdmi sink has stopped") == 1, "that is told")
        assert card.shows_console()
        sink.submit(UPDATE)


def test_a_mode_that_is_not_offered(card: FakeCard, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(card, tmp_path, mode="1024x768"):
        offered = (
            "1920x1080@60 instead of hdmi.mode: 1024x768; the display offers 1920x1080@60, 1920x1080@50, 1280x720@60"
        )
        wait_for(lambda: logged(caplog, offered) == 1, "that is told")


def _broken(_: FakeNode) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_check(card: FakeCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = partial(find, folder=tmp_path, opener=card.open)
    assert HdmiSink.check(Hdmi(), finder=finder) == f"HDMI-A-1 of {tmp_path}/card0, {FULL_HD[0]}"
    assert card.set_modes == 0, "nothing is switched"
    other = card.open()
    with pytest.raises(SinkError, match="card0, 1920x1080@60: in use now, by the running daemon or another program"):
        HdmiSink.check(Hdmi(), finder=finder)
    other.close()
    with monkeypatch.context() as patch:
        patch.setattr(FakeNode, "_set_master", _broken)
        with pytest.raises(SinkError, match=r"card0, .*: cannot be used: Input/output error"):
            HdmiSink.check(Hdmi(), finder=finder)
    assert not card.nodes
    assert "display" not in dict(findings(Config(), None))
    ok, text = _display(Hdmi(enabled=True, device="/dev/nothing"))
    assert not ok
    assert text == "no display is connected: /dev/nothing: No such file or directory; the daemon waits for it"


def _display(hdmi: Hdmi) -> tuple[bool, str]:
    finding = dict(findings(Config(hdmi=hdmi), None))["display"]
    assert not finding.fatal or finding.ok
    return finding.ok, finding.text


def test_it_is_opened_where_it_is_enabled() -> None:
    config = Config(hdmi=Hdmi(enabled=True, device="/dev/nothing"))
    mqtt_off = Config(mqtt=type(config.mqtt)(enabled=False), hdmi=config.hdmi)
    (sink,) = open_sinks(mqtt_off, IDENTITY, Control(mqtt_off))
    assert isinstance(sink, HdmiSink)
    sink.close(1.0)
