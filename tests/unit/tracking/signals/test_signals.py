"""Signals as a whole: alerts, summaries, minutes and the contract take any of them from its definition."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from fer_edge.config import Alert, Attention, Balance, Config, SignalName
from fer_edge.config import Summary as SummaryConfig
from fer_edge.contract import encode
from fer_edge.records import LABELS, Box, SignalState
from fer_edge.settings.constraints import SIGNAL_SECTIONS
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.minutes import Minute, MinuteMaker, added, step_of
from fer_edge.tracking.signals import _ALERTS, SIGNALS, SignalReader, enabled_signals, signal_words
from fer_edge.tracking.summary import SummaryMaker
from fer_edge.tracking.tracker import Tracker
from tests.support.face_events import IDENTITY, face_event
from tests.support.faces_over_time import SECOND, Shown, Story
from tests.support.samples import reading

CONFIG = Config(attention=Attention(enabled=True), balance=Balance(enabled=True))
TOWARDS, AWAY = Shown(label=LABELS.index("happiness")), Shown(yaw=50)


def test_every_signal_is_named_where_it_has_to_be() -> None:
    assert set(SignalName.__args__) == set(_ALERTS) == set(SIGNAL_SECTIONS)  # type: ignore[attr-defined]
    for name, section in SIGNAL_SECTIONS.items():
        on = msgspec.structs.replace(
            Config(), **{section: msgspec.structs.replace(getattr(Config(), section), enabled=True)}
        )
        assert _ALERTS[name][0] in enabled_signals(on)
        assert _ALERTS[name][0] not in enabled_signals(Config())
    assert all(name == signal.name for name, signal in SIGNALS.items())


def test_an_alert_waits_until_somebody_has_looked_away_for_long() -> None:
    story = Story(CONFIG)
    maker = AlertMaker({"away": Alert(signals=("looked_away",), for_seconds=5, cooldown_seconds=0)})

    def on(seconds: float, shown: Shown) -> list[bool]:
        updates = story.show(seconds, shown)
        reported = [maker.update(each.faces, each.frame.taken_ns, minute_of_day=None) for each in updates if each.frame]
        return [state.on for states in reported for state in states]

    assert on(3, TOWARDS) == [False]
    assert on(4, AWAY) == []
    assert on(3, AWAY) == [True]
    (state,) = maker.states()
    assert (state.signals, state.expressions, state.faces) == (("looked_away",), (), 1)
    payload = json.loads(msgspec.json.encode(encode.alert_payload(state)))
    assert (payload["signals"], payload["expressions"]) == (["looked_away"], [])
    assert on(1, TOWARDS) == [False]


def test_a_summary_says_how_many_looked_for_how_long() -> None:
    story, maker = Story(CONFIG), SummaryMaker(SummaryConfig(interval_seconds=20, min_visitors=1))
    updates = story.show(5, AWAY) + story.show(10, TOWARDS) + story.show(5.5, AWAY)
    found = [maker.update(each.events, each.faces, each.frame.taken_ns) for each in updates if each.frame]
    (summary,) = [each for each in found if each]
    looks = summary.signals["looks"]
    assert (looks.faces, looks.lasting) == (1, 1)
    assert looks.seconds == pytest.approx(10, abs=0.2)
    assert looks.share == pytest.approx(0.5, abs=0.02)
    payload = json.loads(msgspec.json.encode(encode.summary_payload(summary, min_visitors=1)))
    assert payload["signals"]["looks"]["faces"] == 1
    assert 0.2 < payload["signals"]["balance"]["mean"] < 0.6


def test_few_visitors_are_not_told_about() -> None:
    story, maker = Story(CONFIG), SummaryMaker(SummaryConfig(interval_seconds=5, min_visitors=2))
    found = [
        maker.update(each.events, each.faces, each.frame.taken_ns) for each in story.show(6, TOWARDS) if each.frame
    ]
    (summary,) = [each for each in found if each]
    assert summary.signals == {}
    assert "signals" not in json.loads(msgspec.json.encode(encode.summary_payload(summary, min_visitors=2)))


def test_hours_of_faces_are_met_within_two_per_cent() -> None:
    """Each visit: 4 s away, 3 s looking, 3 s away, 5 s gone; every other visitor never looks."""
    story, maker = Story(CONFIG, fps=5), MinuteMaker()
    minutes: list[Minute] = []
    visits = 240
    for number in range(visits):
        middle = TOWARDS if number % 2 else AWAY
        for update in story.show(4, AWAY) + story.show(3, middle) + story.show(3, AWAY) + story.show(5, None):
            now_ns = update.frame.taken_ns if update.frame else 0
            over = maker.add(step_of(update, at_s=now_ns / SECOND, mono_ns=now_ns))
            minutes += [over] if over else []
    last = maker.finish()
    total = added([*minutes, *([last] if last else [])], 0)
    assert total.visitors == visits
    assert total.signals["looks"].faces == visits / 2
    assert total.signals["looks"].lasting == visits / 2
    assert total.signals["looks"].on_s == pytest.approx(visits / 2 * 3, rel=0.02)
    decoded = msgspec.json.decode(msgspec.json.encode(total), type=Minute)
    assert decoded.signals == total.signals


def test_an_event_says_what_applies_to_each_kind() -> None:
    looks = SignalState(0, on=True, seconds=1.239, times=2, first_after_s=0.512)
    level = SignalState(0, value=0.34567, sum_s=2, known_s=8)
    event = face_event(signals={"looks": looks, "balance": level})
    reported = json.loads(msgspec.json.encode(encode.event_payload(event, IDENTITY)))["signals"]
    assert reported == {
        "looks": {"on": True, "seconds": 1.24, "times": 2, "first_after_s": 0.51},
        "balance": {"value": 0.346, "mean": 0.25},
    }
    assert "signals" not in json.loads(msgspec.json.encode(encode.event_payload(face_event(), IDENTITY)))


def test_the_state_counts_faces_and_rounds_levels() -> None:
    story = Story(CONFIG)
    story.show(1, TOWARDS)
    state = encode.state_payload(story.faces, signals=["looks", "balance"])
    assert state.signals == {"looks": 1, "balance": 0.8}
    assert encode.state_payload((), signals=["looks", "balance"]).signals == {"looks": 0, "balance": None}
    assert encode.state_payload(story.faces).signals is msgspec.UNSET


def test_people_read_words() -> None:
    story = Story(CONFIG)
    story.show(2, TOWARDS)
    assert signal_words(story.signals) == ["looks at the camera (1.6 s)", "balance of expressions +0.83"]


def test_a_face_that_starts_in_the_middle_of_a_look_is_counted() -> None:
    story = Story(msgspec.structs.replace(CONFIG, attention=Attention(enabled=True, dwell_seconds=0)))
    updates = story.show(2, TOWARDS)
    reached = [name for update in updates for face in update.faces for name in face.reached]
    assert reached[:1] == ["looks"]
    assert replace(story.tracks[0]).signals["looks"].first_after_s == 0.0


def test_signals_that_are_switched_off_are_not_told_any_more() -> None:
    tracker = Tracker(CONFIG.tracking, SignalReader(enabled_signals(CONFIG), CONFIG))
    box = Box(100, 100, 200, 200)
    for number in range(3):
        if number == 2:
            tracker.configure(CONFIG.tracking, SignalReader(()))
        found = reading(box, track_id=1 if number else None)
        (track,) = tracker.update([found], number * SECOND // 10)
        assert bool(track.signals) == (number < 2)
