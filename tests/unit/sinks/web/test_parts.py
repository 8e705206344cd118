"""web/history.py, settings.py, and what is kept of settings that were tried out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.config import Config
from fer_edge.records import AlertState, EventType, RateReason, Update
from fer_edge.settings.control import Control
from fer_edge.settings.overrides import Tuning
from fer_edge.settings.tunables import LIVE
from fer_edge.sinks.web import recent as history_module
from fer_edge.sinks.web.recent import RecentHistory
from fer_edge.sinks.web.settings import SECTIONS, groups
from fer_edge.sinks.web.status import StatusCollector
from tests.support.drawings import STATS
from tests.support.face_events import face_event
from tests.support.tuning_helpers import CONFIG, stored
from tests.support.web_helpers import bright, update_of


def of(*events: object, alerts: tuple[AlertState, ...] = ()) -> Update:
    return update_of(bright(), events=events, alerts=alerts)


def ago(seconds: float) -> int:
    return time.monotonic_ns() - round(seconds * 1e9)


def test_heartbeats_are_no_news() -> None:
    history = RecentHistory()
    assert history.note(of(face_event(1, expression="fear", previous="fear"))) == ()
    (entry,) = history.note(of(face_event(2, expression="fear", previous="neutral")))
    assert history.entries() == [entry]
    assert (entry.n, entry.expression) == (1, "fear")


def test_what_is_older_than_ten_minutes_is_forgotten_but_for_faces_that_are_here() -> None:
    history = RecentHistory()
    history.note(of(face_event(1, event_type=EventType.START, track_id=1, mono_ns=ago(900))))
    history.note(of(face_event(2, event_type=EventType.START, track_id=2, mono_ns=ago(800))))
    history.note(of(face_event(3, track_id=1, mono_ns=ago(700), expression="anger")))
    history.note(of(face_event(4, event_type=EventType.END, track_id=2, mono_ns=ago(650))))
    history.note(of(face_event(5, event_type=EventType.START, track_id=3, mono_ns=ago(10))))
    assert [(entry.face, entry.expression) for entry in history.entries()] == [(1, "anger"), (3, "happiness")]


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    history = RecentHistory()
    for seq in range(history_module.SIZE + 5):
        history.note(of(face_event(seq, event_type=EventType.END, mono_ns=ago(1))))
    assert len(history.entries()) == history_module.SIZE
    assert history.entries()[-1].n == history_module.SIZE + 5


def test_the_first_figures_leave_out_the_time_in_which_nobody_looked() -> None:
    pulse = StatusCollector(CONFIG, Control(CONFIG))
    for _ in range(1000):
        pulse.note(update_of(bright()))
    pulse.skip()
    assert pulse.health(1).latency_ms is None
    pulse.note(update_of(bright()))
    health = pulse.health(1)
    assert health.latency_ms is not None
    assert health.latency_ms < 1000


def test_every_threshold_has_words_and_a_range_around_its_value() -> None:
    tuning = Tuning(CONFIG, None)
    shown = [setting for group in groups(tuning.tunables()) for setting in group.settings]
    keys = {f"{section}.{key}" for section in SECTIONS for key in LIVE[section]}
    assert {setting.key for setting in shown if not setting.key.startswith("alerts.")} == keys
    assert all(setting.hint for setting in shown)
    for setting in shown:
        if setting.type != "bool":
            assert setting.low <= float(setting.value) <= setting.top <= setting.high, setting.key
            steps = (setting.top - setting.low) / setting.step
            assert 9 <= steps <= 2400, setting.key


def alert(*, on: bool) -> AlertState:
    return AlertState(name="cheer", on=on, expressions=("happiness",), faces=int(on), mono_ns=time.monotonic_ns())


def test_an_alert_that_was_never_on_is_no_news() -> None:
    """Every alert is told as off when the daemon starts."""
    history = RecentHistory()
    assert history.note(of(alerts=(alert(on=False),))) == ()
    history.note(of(alerts=(alert(on=True),)))
    history.note(of(alerts=(alert(on=False),)))
    assert [(entry.kind, entry.on) for entry in history.entries()] == [("alert", True), ("alert", False)]


def test_a_page_that_comes_late_hears_of_an_alert_that_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    history = RecentHistory()
    (begun,) = history.note(of(alerts=(alert(on=True),)))
    monkeypatch.setattr(history_module, "SECONDS", -1.0)
    assert history.entries() == [begun], "however long ago it came on"
    history.note(of(alerts=(alert(on=False),)))
    assert history.entries() == []


def test_the_camera_s_absence_is_news_once_and_outlasts_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    history = RecentHistory()
    assert history.note(of()) == ()
    (away,) = history.note(Update(None), "no such device")
    assert history.note(Update(None), "no such device") == ()
    assert (away.kind, away.reason) == ("away", "no such device")
    monkeypatch.setattr(history_module, "SECONDS", -1.0)
    assert history.entries() == [away]
    (back,) = history.note(of())
    assert back.kind == "back"
    assert history.entries() == []


def test_the_board_s_trouble_says_since_when_and_when_it_is_read_again() -> None:
    pulse = StatusCollector(CONFIG, Control(CONFIG))
    assert pulse.health(1).board.state == "waiting"
    pulse.note(update_of(bright(), stats=replace(STATS, throttled=1, rate_reason=None)))
    first = pulse.health(1).board
    pulse.note(update_of(bright(), stats=replace(STATS, throttled=0b11, rate_reason=RateReason.HOT)))
    second = pulse.health(1).board
    assert (first.state, first.text) == ("bad", "under-voltage now")
    assert second.text == "under-voltage, frequency capped now; fewer frames are analysed: hot"
    assert first.since is not None
    assert first.retry_at is not None
    assert second.since == first.since
    assert first.since <= first.retry_at - CONFIG.stats.interval_seconds + 1e-6
    pulse.note(update_of(bright(), stats=replace(STATS, throttled=1 << 16, rate_reason=RateReason.IDLE)))
    assert (pulse.health(1).board.state, pulse.health(1).board.text) == ("good", "under-voltage since the start")


def test_a_value_beyond_the_usual_lies_on_its_slider() -> None:
    tuning = Tuning(Config(), None)
    tuning.set("events.heartbeat_seconds", b"3000")
    shown = {setting.key: setting for group in groups(tuning.tunables()) for setting in group.settings}
    assert shown["events.heartbeat_seconds"].top == 3000


def test_what_is_tried_out_is_not_kept(tmp_path: Path) -> None:
    tuning = Tuning(Config(), tmp_path)
    assert tuning.set("events.enter", b"0.8", keep=False).accepted
    assert tuning.config.events.enter == 0.8
    assert not (tmp_path / "tuning.json").exists()
    tuning.set("detector.min_score", b"0.6")
    assert stored(tmp_path) == {"detector.min_score": 0.6}
    assert Tuning(Config(), tmp_path).config.events.enter == 0.5


def test_keep_all_keeps_it(tmp_path: Path) -> None:
    tuning = Tuning(Config(), tmp_path)
    tuning.set("events.enter", b"0.8", keep=False)
    assert tuning.keep_all() is None
    assert stored(tmp_path) == {"events.enter": 0.8}
    tuning.set("events.enter", b"", keep=False)
    assert tuning.config.events.enter == 0.5
    assert Tuning(Config(), tmp_path).config.events.enter == 0.8
    assert tuning.keep_all() is None
    assert stored(tmp_path) == {}


def test_a_value_that_is_right_only_beside_a_tried_one_keeps_that_too(tmp_path: Path) -> None:
    tuning = Tuning(Config(), tmp_path)
    tuning.set("events.enter", b"0.9", keep=False)
    assert tuning.set("events.leave", b"0.7").accepted  # more than config.yaml's events.enter
    assert stored(tmp_path) == {"events.enter": 0.9, "events.leave": 0.7}
    assert Tuning(Config(), tmp_path).warnings == ()


def test_a_reload_changes_nothing_about_it(tmp_path: Path) -> None:
    tuning = Tuning(Config(), tmp_path)
    tuning.set("events.enter", b"0.8", keep=False)
    tuning.set("detector.min_score", b"0.6")
    tuning.reload(Config())
    assert (tuning.config.events.enter, tuning.config.detector.min_score) == (0.8, 0.6)
    assert stored(tmp_path) == {"detector.min_score": 0.6}


def test_without_a_folder_keeping_says_why_not() -> None:
    tuning = Tuning(Config(), None)
    tuning.set("events.enter", b"0.8", keep=False)
    assert tuning.keep_all() == "there is no state folder (state.folder)"
