"""alerts.py: on when the condition has lasted, off at once, then quiet for the cooldown."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Alert
from fer_edge.records import LABELS, AlertState, Box, FaceState, Reason, SignalState
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.tracker import new_track
from tests.support.samples import reading

SECOND = 1_000_000_000
NOON = 12 * 60


def face(label: str | None = "fear", value: float = 0.9, *, missed: int = 0) -> FaceState:
    """A face whose committed expression has this smoothed probability."""
    index = 0 if label is None else LABELS.index(label)
    track = new_track(1, reading(Box(0, 0, 10, 10), label=index, value=value), 0)
    return FaceState(replace(track, misses=missed), label, None if label else Reason.UNCERTAIN)


class Scene:
    """Plays faces to an AlertMaker with one alert, `distress`, and keeps what it tells."""

    def __init__(self, **rule: Any) -> None:
        self.maker = AlertMaker({"distress": alert(**rule)})
        self.reported: list[tuple[float, bool]] = []

    def show(self, now_s: float, *faces: FaceState, minute: int | None = NOON) -> tuple[AlertState, ...]:
        return self._keep(now_s, self.maker.update(faces, round(now_s * SECOND), minute_of_day=minute))

    def end_all(self, now_s: float) -> tuple[AlertState, ...]:
        return self._keep(now_s, self.maker.end_all(round(now_s * SECOND)))

    def _keep(self, now_s: float, states: tuple[AlertState, ...]) -> tuple[AlertState, ...]:
        assert all(state.mono_ns == round(now_s * SECOND) for state in states)
        self.reported += [(now_s, state.on) for state in states]
        return states


def alert(**changes: Any) -> Alert:
    """Fear or sadness for 3 s, then 10 s of quiet, changed as told."""
    return Alert(**{"expressions": ("sadness", "fear"), "for_seconds": 3, "cooldown_seconds": 10, **changes})


def shows(scene: Scene, *faces: FaceState, minute: int | None = NOON) -> bool:
    """Whether these faces switch an alert with for_seconds 0 on."""
    scene.show(0, *faces, minute=minute)
    return scene.maker.states()[0].on


def test_the_first_step_tells_every_alert() -> None:
    maker = AlertMaker({"distress": alert(), "joy": alert(expressions=("happiness",), enabled=False)})
    assert maker.states() == ()
    off = (AlertState("distress", False, 5, (), 0), AlertState("joy", False, 5, (), 0))
    assert maker.update((), 5, minute_of_day=NOON) == off
    assert maker.update((), 6, minute_of_day=NOON) == ()
    assert maker.states() == off


def test_without_alerts_there_is_nothing_to_tell() -> None:
    maker = AlertMaker({})
    assert maker.update((face(),), 0, minute_of_day=NOON) == ()
    assert maker.end_all(1) == ()


def test_on_when_the_condition_has_lasted_off_at_once() -> None:
    scene = Scene()
    for now in (0, 1, 2, 3.9):
        scene.show(now, *([face()] if now else []))
    (on,) = scene.show(4, face())
    assert on == AlertState("distress", True, 4 * SECOND, ("fear",), 1)
    assert scene.show(5, face()) == ()
    (off,) = scene.show(6)
    assert off == AlertState("distress", False, 6 * SECOND, (), 0)
    assert scene.reported == [(0, False), (4, True), (6, False)]


def test_an_interruption_starts_the_time_anew() -> None:
    scene = Scene()
    scene.show(0, face())
    scene.show(2, face("neutral"))
    scene.show(2.5, face())
    scene.show(5, face())
    scene.show(5.5, face())
    assert scene.reported == [(0, False), (5.5, True)]


def test_another_expression_of_the_rule_is_no_interruption() -> None:
    scene = Scene()
    scene.show(0, face("fear"))
    scene.show(2, face("sadness"))
    (on,) = scene.show(3, face("sadness"), face("fear"), face("fear"), face("happiness"))
    assert (on.expressions, on.faces) == (("sadness", "fear"), 3)


def test_without_for_seconds_it_is_on_at_once() -> None:
    scene = Scene(for_seconds=0)
    scene.show(0, face())
    assert scene.reported == [(0, True)]


def test_after_an_end_it_rests_for_the_cooldown() -> None:
    scene = Scene()
    for now in range(5):
        scene.show(now, face())
    scene.show(5)
    for now in range(6, 15):
        scene.show(now, face())
    assert scene.reported == [(0, False), (3, True), (5, False)]
    scene.show(15, face())  # the condition has lasted long since
    assert scene.reported[3:] == [(15, True)]


def test_after_the_cooldown_the_condition_must_have_lasted_too() -> None:
    scene = Scene(cooldown_seconds=1)
    for now in (0, 3):
        scene.show(now, face())
    scene.show(4)
    for now in (5, 6, 7, 8):
        scene.show(now, face())
    assert scene.reported == [(0, False), (3, True), (4, False), (8, True)]


def test_each_face_is_weighed_by_its_committed_expression() -> None:
    rule: dict[str, Any] = {"for_seconds": 0, "min_confidence": 0.7}
    assert shows(Scene(**rule), face("fear", 0.7))  # a float32 that is a little less than 0.7
    assert not shows(Scene(**rule), face("fear", 0.69))
    assert not shows(Scene(**rule), face("happiness"))
    assert not shows(Scene(**rule), face(None))
    seems_afraid = replace(face("fear"), expression="happiness")  # not committed yet
    assert not shows(Scene(**rule), seems_afraid)
    was_afraid = face("happiness", 0.55)  # still committed, with 0.06 left of it
    assert not shows(Scene(**rule), replace(was_afraid, expression="fear"))
    unjudged = face("fear")
    assert not shows(Scene(**rule), replace(unjudged, track=replace(unjudged.track, expression=None)))


def test_hidden_faces_count() -> None:
    assert shows(Scene(for_seconds=0), face(missed=3))


@pytest.mark.parametrize("rule", [{}, {"expressions": (), "signals": ("looked_away",)}])
def test_with_a_zone_only_faces_in_it_count(rule: dict[str, Any]) -> None:
    signals = {"looks": SignalState(0, on=False)}
    shown = face()
    away = replace(shown, track=replace(shown.track, signals=signals))
    assert not shows(Scene(for_seconds=0, zone="till", **rule), away, replace(away, zones=("door",)))
    assert shows(Scene(for_seconds=0, zone="till", **rule), replace(away, zones=("door", "till")))


def test_min_faces() -> None:
    scene = Scene(for_seconds=0, min_faces=2, cooldown_seconds=0)
    scene.show(0, face("fear"), face("neutral"))
    scene.show(1, face("fear"), face("sadness"))
    (off,) = scene.show(2, face("fear"))
    assert scene.reported == [(0, False), (1, True), (2, False)]
    assert (off.expressions, off.faces) == ((), 1)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("09:00-17:30", (540, 541, 1049), (0, 539, 1050, 1439)),
        ("22:00-06:30", (1320, 1439, 0, 389), (390, 720, 1319)),
        ("23:59-00:00", (1439,), (0, 1438)),
        ("00:00-23:59", (0, 1438), (1439,)),
        ("08:00-08:00", (0, 479, 480, 481, 1439), ()),
        (None, (0, 1439), ()),
    ],
)
def test_active_hours(hours: str | None, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    for minute in inside:
        assert shows(Scene(for_seconds=0, active_hours=hours), face(), minute=minute)
    for minute in outside:
        assert not shows(Scene(for_seconds=0, active_hours=hours), face(), minute=minute)


def test_without_a_trusted_clock_every_hour_is_active() -> None:
    assert shows(Scene(for_seconds=0, active_hours="22:00-06:30"), face(), minute=None)


def test_the_condition_lasts_within_active_hours_only() -> None:
    scene = Scene(active_hours="12:00-12:01")
    scene.show(0, face(), minute=NOON - 1)
    scene.show(10, face(), minute=NOON)
    scene.show(13, face(), minute=NOON)
    scene.show(14, face(), minute=NOON + 1)
    assert scene.reported == [(0, False), (13, True), (14, False)]


def test_a_disabled_alert_stays_off() -> None:
    assert not shows(Scene(for_seconds=0, enabled=False), face())


def test_end_all_switches_off_what_is_on_and_begins_anew() -> None:
    scene = Scene(cooldown_seconds=0)
    for now in (0, 3):
        scene.show(now, face())
    (off,) = scene.end_all(4)
    assert off == AlertState("distress", False, 4 * SECOND, (), 0)
    assert scene.end_all(5) == ()
    for now in (6, 8, 9):
        scene.show(now, face())
    assert scene.reported == [(0, False), (3, True), (4, False), (9, True)]


def test_end_all_before_the_first_step_tells_too() -> None:
    """What a crash left on at the broker goes off even when the camera never comes."""
    scene = Scene()
    scene.end_all(0)
    scene.show(1, face())
    assert scene.reported == [(0, False)]


def test_states_are_those_of_the_last_step() -> None:
    scene = Scene(for_seconds=0)
    scene.show(0, face("fear"))
    scene.show(1, face("fear"), face("sadness"))
    assert scene.maker.states() == (AlertState("distress", True, 0, ("sadness", "fear"), 2),)


def test_an_expression_that_a_rule_names_twice_is_told_once() -> None:
    (on,) = Scene(for_seconds=0, expressions=("fear", "fear")).show(0, face("fear"))
    assert on.expressions == ("fear",)


def test_alerts_go_their_own_ways() -> None:
    maker = AlertMaker({"slow": alert(), "quick": alert(for_seconds=1)})
    maker.update((face(),), 0, minute_of_day=NOON)
    (state,) = maker.update((face(),), SECOND, minute_of_day=NOON)
    assert (state.name, state.on) == ("quick", True)
    (state,) = maker.update((face(),), 3 * SECOND, minute_of_day=NOON)
    assert (state.name, state.on) == ("slow", True)


def test_new_rules_keep_the_state_of_an_alert() -> None:
    scene = Scene()
    scene.show(0, face())
    assert scene.maker.replace({"new": alert(), "distress": alert()}) == ()  # the same rule: its time runs on
    new, distress = scene.maker.update((face(),), 3 * SECOND, minute_of_day=NOON)
    assert (new.name, new.on) == ("new", False)
    assert (distress.name, distress.on) == ("distress", True)
    scene.maker.replace({"distress": alert(for_seconds=60)})
    assert scene.show(4, face()) == ()  # stays on
    scene.maker.replace({"distress": alert(enabled=False)})
    (off,) = scene.show(5, face())
    assert not off.on
    scene.maker.replace({"distress": alert(for_seconds=0)})
    assert scene.show(14.9, face()) == ()  # the cooldown runs on
    assert scene.show(15, face())[0].on


def test_a_changed_condition_must_last_from_the_change_on() -> None:
    scene = Scene()
    scene.show(0, face("fear"))
    scene.maker.replace({"distress": alert(expressions=("anger",))})
    scene.show(3, face("anger"))
    scene.show(6, face("anger"))
    assert scene.reported == [(0, False), (6, True)]


def test_a_removed_alert_goes_off_and_is_forgotten() -> None:
    scene = Scene()
    for now in (0, 3):
        scene.show(now, face())
    assert scene.maker.replace({}) == (AlertState("distress", False, 3 * SECOND, (), 0),)
    assert scene.maker.states() == ()
    assert scene.maker.replace({"distress": alert()}) == ()
    for now in (4, 7):  # no cooldown
        scene.show(now, face())
    assert scene.reported[2:] == [(4, False), (7, True)]
    scene.show(8)
    assert scene.maker.replace({}) == ()  # it was off


MEETING = [face("fear"), face("sadness", 0.6), face("fear", missed=2)]
OTHERS = [face("sadness", 0.4), face("happiness"), face(None)]
faces_now = st.tuples(st.lists(st.sampled_from(MEETING), max_size=2), st.lists(st.sampled_from(OTHERS), max_size=1))
steps_of_a_day = st.lists(
    st.tuples(st.integers(0, 8), st.none() | faces_now, st.sampled_from([NOON, 0, None])), min_size=1, max_size=60
)
rules = st.builds(
    alert,
    for_seconds=st.sampled_from([0, 1.5, 4]),
    cooldown_seconds=st.sampled_from([0, 2.5, 9]),
    min_faces=st.integers(1, 2),
    active_hours=st.sampled_from([None, "08:00-20:00"]),
)


@settings(max_examples=300)
@given(rules, steps_of_a_day)
def test_whatever_happens_it_comes_late_and_not_too_often(
    rule: Alert, steps: list[tuple[int, tuple[list[FaceState], list[FaceState]] | None, int | None]]
) -> None:
    scene, now, on = Scene(), 0.0, False
    scene.maker = AlertMaker({"distress": rule})
    began: float | None = None  # since when the condition holds
    ended: float | None = None  # when the alert last went off
    for number, (pause, faces, minute) in enumerate(steps):
        now += pause / 2
        reported = scene.show(now, *faces[0], *faces[1], minute=minute) if faces else scene.end_all(now)
        enough = faces is not None and len(faces[0]) >= rule.min_faces
        holds = enough and (rule.active_hours is None or minute in (NOON, None))
        began = None if not holds else now if began is None else began
        lasted = began is not None and now - began >= rule.for_seconds
        rested = ended is None or now - ended >= rule.cooldown_seconds
        was, on = on, scene.maker.states()[0].on
        assert on == (holds and (was or (lasted and rested)))
        assert bool(reported) == (on != was or number == 0)
        ended = now if was and not on else ended
    assert all(before != after for (_, before), (_, after) in itertools.pairwise(scene.reported))
