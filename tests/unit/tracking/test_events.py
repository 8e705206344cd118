"""events.py: start, updates, end; in that order, once each, with hysteresis and dwell."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Events
from fer_edge.records import LABELS, Box, EventType, Expression, FaceEvent, Reason, Track
from fer_edge.tracking.events import EventStateMachine
from fer_edge.tracking.tracker import new_track
from tests.support.samples import probabilities, reading

MS = 1_000_000
BOX = Box(160, 120, 320, 360)


def track(now_ms: int, label: str | None = "happiness", value: float = 0.9, *, reason: Reason | None = None) -> Track:
    """A track that has been here since 0 ms and looks so now."""
    index = None if label is None else LABELS.index(label)
    seen = new_track(1, reading(BOX, label=index, value=value, reason=reason), 0)
    return replace(seen, hits=2 + now_ms, last_ns=now_ms * MS)


class Scene:
    """Plays a face to an EventMaker and keeps what it tells."""

    def __init__(self, **config: float) -> None:
        self.maker = EventStateMachine(Events(**config), confirm_seconds=0.2)
        self.reported: list[tuple[int, str, str | None]] = []

    def show(self, now_ms: int, *tracks: Track) -> tuple[FaceEvent, ...]:
        events, _ = self.maker.update(tracks, now_ms * MS, width=640, height=480)
        self.reported += [(now_ms, event.event_type.value, event.expression) for event in events]
        return events


def test_a_face_starts_once_it_is_confirmed() -> None:
    scene = Scene()
    assert scene.show(0, replace(track(0), hits=1)) == ()
    assert scene.show(100, track(100)) == ()
    (start,) = scene.show(200, track(200))
    assert (start.event_type, start.seq, start.track_id, start.expression) == (EventType.START, 1, 1, "happiness")
    assert (start.previous, start.reason, start.face_count) == (None, None, 1)
    assert start.confidence == pytest.approx(0.9)
    assert start.dwell_s == pytest.approx(0.2)


def test_a_glimpse_is_not_worth_an_event() -> None:
    scene = Scene()
    scene.show(0, track(0))
    scene.show(100)
    assert scene.reported == []


def test_coordinates_are_fractions_of_the_frame_within_it() -> None:
    (start,) = Scene().show(200, replace(track(200), box=Box(-64, 120, 320, 960)))
    assert start.box == Box(0, 0.25, 0.5, 1)
    assert start.landmarks is None


def test_landmarks_only_where_privacy_allows() -> None:
    maker = EventStateMachine(Events(), confirm_seconds=0.2, landmarks=True)
    ((start,), _) = maker.update((track(200),), 200 * MS, width=640, height=480)
    assert start.landmarks is not None
    assert start.landmarks[-1] == pytest.approx([0.5, 0.75])
    assert start.landmarks.dtype == np.float32


def test_a_change_is_told_when_it_has_lasted() -> None:
    scene = Scene(dwell_seconds=0.5)
    scene.show(200, track(200))
    scene.show(300, track(300, "sadness"))
    scene.show(700, track(700, "sadness"))
    (update,) = scene.show(800, track(800, "sadness"))
    assert (update.event_type, update.expression, update.previous) == (EventType.UPDATE, "sadness", "happiness")
    assert update.dwell_s == pytest.approx(0.8)


def test_a_flicker_is_not_told() -> None:
    scene = Scene(dwell_seconds=0.5)
    scene.show(200, track(200))
    for now in range(300, 3000, 300):
        scene.show(now, track(now, "sadness"))
        scene.show(now + 100, track(now + 100))
    assert scene.reported == [(200, "start", "happiness")]


def test_a_third_expression_starts_its_own_dwell() -> None:
    scene = Scene(dwell_seconds=0.5)
    scene.show(200, track(200))
    scene.show(300, track(300, "sadness"))
    scene.show(700, track(700, "anger"))
    assert scene.show(900, track(900, "anger")) == ()
    assert scene.show(1200, track(1200, "anger"))[0].expression == "anger"


def weak(now_ms: int, committed: float, other: float) -> Track:
    """A track between happiness and neutral."""
    values = np.full(8, (1 - committed - other) / 6, np.float32)
    values[1], values[0] = committed, other
    return replace(track(now_ms), expression=Expression(values))


def test_hysteresis_keeps_what_was_committed_until_it_falls_below_leave() -> None:
    scene = Scene(enter=0.6, leave=0.3, dwell_seconds=0)
    scene.show(200, track(200))
    assert scene.show(300, weak(300, 0.35, 0.5)) == ()  # not the top any more, but no other one enters
    (update,) = scene.show(400, weak(400, 0.25, 0.5))
    assert (update.expression, update.reason) == (None, Reason.UNCERTAIN)
    assert update.confidence == pytest.approx(0.5)
    (update,) = scene.show(500, weak(500, 0.2, 0.7))
    assert (update.expression, update.previous) == ("neutral", None)


def test_abstaining_has_a_reason_and_no_figures() -> None:
    scene = Scene(dwell_seconds=0.1)
    scene.show(200, track(200))
    scene.show(300, track(300, reason=Reason.TURNED))
    (update,) = scene.show(400, track(400, reason=Reason.TURNED))
    assert (update.expression, update.reason, update.previous) == (None, Reason.TURNED, "happiness")
    assert (update.confidence, update.probabilities) == (0.0, None)
    assert scene.show(500, track(500, reason=Reason.DARK)) == ()  # another reason is no change of expression
    assert scene.show(600, track(600, label=None)) == ()


def test_a_start_can_abstain() -> None:
    (start,) = Scene().show(200, track(200, reason=Reason.TOO_SMALL))
    assert (start.expression, start.reason) == (None, Reason.TOO_SMALL)
    (start,) = Scene().show(200, track(200, "fear", 0.4))
    assert (start.expression, start.reason) == (None, Reason.UNCERTAIN)


def test_heartbeats() -> None:
    scene = Scene(heartbeat_seconds=1)
    for now in range(200, 3300, 100):
        scene.show(now, track(now))
    assert [each[:2] for each in scene.reported] == [
        (200, "start"),
        (1200, "update"),
        (2200, "update"),
        (3200, "update"),
    ]
    silent = Scene(heartbeat_seconds=0)
    for now in range(200, 60_000, 1000):
        silent.show(now, track(now))
    assert len(silent.reported) == 1


def test_a_hidden_face_changes_nothing_and_still_counts() -> None:
    scene = Scene(dwell_seconds=0)
    scene.show(200, track(200))
    hidden = replace(track(300, "sadness"), misses=1)
    events, faces = scene.maker.update((hidden,), 300 * MS, width=640, height=480)
    assert events == ()
    assert [face.expression for face in faces] == ["happiness"]


def test_an_end_says_what_was_and_for_how_long() -> None:
    scene = Scene()
    scene.show(200, track(200))
    scene.show(5000, track(5000))
    (end,) = scene.show(7000)
    assert (end.event_type, end.expression, end.previous) == (EventType.END, "happiness", "happiness")
    assert end.dwell_s == pytest.approx(5)  # until it was last seen
    assert end.face_count == 0
    assert scene.show(8000) == ()


def test_end_all_ends_every_face_once() -> None:
    scene = Scene()
    scene.show(200, track(200), replace(track(200), id=2))
    ends = scene.maker.end_all(300 * MS, width=640, height=480)
    assert [(end.event_type, end.track_id) for end in ends] == [(EventType.END, 1), (EventType.END, 2)]
    assert scene.maker.end_all(400 * MS, width=640, height=480) == ()


faces_now = st.dictionaries(
    st.integers(1, 4), st.tuples(st.sampled_from([None, *LABELS[:4]]), st.floats(0.2, 1), st.booleans()), max_size=4
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 800), faces_now), max_size=30))
def test_whatever_happens_each_face_tells_one_story(
    steps: list[tuple[int, dict[int, tuple[str | None, float, bool]]]],
) -> None:
    scene, now, all_events = Scene(dwell_seconds=0.3, heartbeat_seconds=1), 0, list[FaceEvent]()
    for pause, faces in steps:
        now += pause
        tracks = []
        for id_, (label, value, missed) in sorted(faces.items()):
            expression = Expression(probabilities(LABELS.index(label), value)) if label else None
            tracks.append(replace(track(now, None), id=id_, misses=int(missed), expression=expression))
        all_events += scene.show(now, *tracks)
    all_events += scene.maker.end_all(now * MS, width=640, height=480)

    assert [event.seq for event in all_events] == list(range(1, len(all_events) + 1))
    assert [event.mono_ns for event in all_events] == sorted(event.mono_ns for event in all_events)
    stories: defaultdict[int, list[FaceEvent]] = defaultdict(list)
    for event in all_events:
        stories[event.track_id].append(event)
        assert (event.expression is None) == (event.reason is not None)
        assert 0 <= event.confidence <= 1
    for story in stories.values():
        kinds = "".join(event.event_type.value[0] for event in story)  # s, u, e
        visits = kinds.split("e")
        assert visits.pop() == ""  # every start has its end
        assert all(visit == "s" + "u" * (len(visit) - 1) for visit in visits)
        for before, after in itertools.pairwise(story):
            if after.event_type is EventType.UPDATE:
                assert after.previous == before.expression


def mixed(now_ms: int, **shares: float) -> Track:
    """A face whose expression is a mixture."""
    given = np.array([shares.get(label, 0.0) for label in LABELS], np.float32)
    return replace(track(now_ms), expression=Expression(given))


def decided(shown: Track, *, committed: str | None = None, **config: float) -> tuple[str | None, Reason | None]:
    return EventStateMachine(Events(**config), confirm_seconds=0).decide(shown, committed=committed)


def test_neutral_is_not_told_where_negative_expressions_are_too_likely() -> None:
    doubtful = mixed(0, neutral=0.6, sadness=0.2, anger=0.1, fear=0.05, happiness=0.05)
    assert decided(doubtful) == (None, Reason.UNCERTAIN)
    assert decided(doubtful, committed="neutral") == (None, Reason.UNCERTAIN)
    assert decided(doubtful, neutral_doubt=0.4) == ("neutral", None)
    assert decided(doubtful, neutral_doubt=1.0) == ("neutral", None)


def test_neutral_beside_a_smile_is_told() -> None:
    assert decided(mixed(0, neutral=0.6, happiness=0.3, surprise=0.1)) == ("neutral", None)


def test_a_negative_expression_is_told_however_likely_the_others_are() -> None:
    assert decided(mixed(0, neutral=0.1, sadness=0.5, anger=0.4)) == ("sadness", None)
