"""track.py: one face, one id."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Tracking
from fer_edge.records import LABELS, Box, Reading, Track
from fer_edge.tracking.tracker import Tracker, deduplicate, distance, untracked
from tests.support.samples import reading

MS = 1_000_000


def at(x: float, y: float = 100.0, size: float = 50.0) -> Box:
    return Box(x, y, x + size, y + size)


def follow(tracker: Tracker, box: Box, now_ns: int) -> tuple[Track, ...]:
    """A frame in which the only followed face has moved into a box."""
    (face,) = tracker.active_faces(now_ns)
    return tracker.update([reading(box, track_id=face.track_id)], now_ns)


def test_a_followed_face_keeps_its_id() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0))], 0)
    for step in range(1, 20):
        (track,) = follow(tracker, at(step * 10), step * 33 * MS)
    assert (track.id, track.hits, track.misses, track.first_ns) == (1, 20, 0, 0)


def test_a_face_that_hides_for_a_moment_comes_back_under_its_id() -> None:
    tracker = Tracker(Tracking(keep_seconds=1.0))
    tracker.update([reading(at(0))], 0)
    (hidden,) = tracker.update([], 500 * MS)
    assert hidden.misses == 1
    assert tracker.missing
    assert tracker.active_faces(0) == []
    (back,) = tracker.update([reading(at(30))], 900 * MS)
    assert (back.id, back.misses, back.first_ns) == (1, 0, 0)


def test_a_face_that_stays_away_is_forgotten_and_its_id_is_never_used_again() -> None:
    tracker = Tracker(Tracking(keep_seconds=1.0))
    tracker.update([reading(at(0))], 0)
    assert tracker.update([], 1001 * MS) == ()
    (other,) = tracker.update([reading(at(0))], 1100 * MS)
    assert other.id == 2


def test_a_face_elsewhere_or_of_another_size_is_another_face() -> None:
    for box in (at(300), at(0, size=200)):
        tracker = Tracker(Tracking())
        tracker.update([reading(at(0))], 0)
        tracker.update([], 100 * MS)
        assert [track.id for track in tracker.update([reading(box)], 200 * MS)] == [1, 2]


def test_two_hidden_faces_get_their_own_ids_back() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0)), reading(at(100))], 0)
    tracker.update([], 100 * MS)
    tracks = tracker.update([reading(at(95)), reading(at(5))], 200 * MS)
    assert [(track.id, track.box.x0) for track in tracks] == [(1, 5), (2, 95)]


def test_when_two_tracks_slip_onto_one_face_the_older_keeps_it() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0)), reading(at(100))], 0)
    tracks = tracker.update([reading(at(50), track_id=2), reading(at(52), track_id=1)], 33 * MS)
    assert [(track.id, track.misses) for track in tracks] == [(1, 0), (2, 1)]


def test_smoothing_runs_in_seconds_not_in_frames() -> None:
    results = []
    for step_ms in (10, 100):
        tracker = Tracker(Tracking(smoothing_seconds=0.5))
        tracker.update([reading(at(0), label=0, value=0.95)], 0)
        for now in range(step_ms, 501, step_ms):
            (track,) = tracker.update([reading(at(0), label=1, value=0.95, track_id=1)], now * MS)
        assert track.expression is not None
        results.append(float(track.expression.probabilities[1]))
        assert track.expression.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert results[0] == pytest.approx(results[1], abs=1e-4)
    assert LABELS[1] == "happiness"
    before, after = 0.05 / 7, 0.95
    assert results[0] == pytest.approx(before + (after - before) * 0.632, abs=0.01)


def test_without_smoothing_the_last_judgement_counts() -> None:
    tracker = Tracker(Tracking(smoothing_seconds=0))
    tracker.update([reading(at(0), label=0)], 0)
    (track,) = tracker.update([reading(at(0), label=2, value=0.8, track_id=1)], MS)
    assert track.expression is not None
    assert track.expression.confidence == pytest.approx(0.8)


def test_a_frame_without_judgement_changes_no_expression() -> None:
    tracker = Tracker(Tracking())
    (first,) = tracker.update([reading(at(0))], 0)
    (second,) = tracker.update([reading(at(0), label=None, track_id=1)], 33 * MS)
    assert second.expression is first.expression
    assert second.classified_ns == 0


def test_turns_at_being_judged() -> None:
    tracker = Tracker(Tracking(judge_every_seconds=0.1))
    new = reading(at(0)).face
    assert tracker.should_classify(new, 0)
    tracker.update([reading(at(0))], 0)
    (face,) = tracker.active_faces(0)
    assert not tracker.should_classify(face, 66 * MS)
    assert tracker.should_classify(face, 100 * MS)
    assert tracker.should_classify(face, 99_999_999)  # a frame that comes a hair early does not wait for another round


def test_clear_forgets_faces_but_no_id() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0))], 0)
    tracker.clear()
    assert tracker.update([], 1) == ()
    assert tracker.update([reading(at(0))], 2)[0].id == 2


def test_what_is_followed_is_not_found_again() -> None:
    known = [reading(at(0))]
    inside = Box(0, 100, 10, 110)  # far smaller than the face in whose corner it lies
    part = Box(8, 112, 34, 137)  # the eyes, say
    found = [reading(box).face for box in (at(5), at(200), part, inside)]
    assert [face.box for face in untracked(found, known)] == [at(200), inside]


def test_distance_counts_place_and_size() -> None:
    assert distance(at(0), at(0)) == 0
    assert distance(at(0), at(50)) == pytest.approx(1)
    assert distance(Box(-25, -25, 25, 25), Box(-50, -50, 50, 50)) == pytest.approx(1)


places = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=4, unique_by=lambda place: place[0])


@settings(max_examples=200)
@given(st.lists(st.tuples(places, st.integers(1, 900)), max_size=25))
def test_ids_are_unique_ordered_and_never_come_back(
    frames: list[tuple[list[tuple[int, bool]], int]],
) -> None:
    tracker, now, gone, before = Tracker(Tracking()), 0, set[int](), set[int]()
    for faces, pause_ms in frames:
        now += pause_ms * MS
        followed = {face.track_id or 0: face for face in tracker.active_faces(now)}
        readings: list[Reading] = []
        for place, known in faces:
            track_id = min(followed) if known and followed else None
            followed.pop(track_id or 0, None)
            readings.append(reading(at(place * 120), track_id=track_id))
        tracks = tracker.update(readings, now)
        ids = [track.id for track in tracks]
        assert ids == sorted(set(ids))
        gone |= before - set(ids)
        assert not gone & set(ids)
        assert sum(not track.misses for track in tracks) == len(faces)
        assert all(track.first_ns <= track.last_ns <= now and track.hits >= 1 for track in tracks)
        before = set(ids)


def test_a_face_that_is_lost_in_a_frame_is_found_in_the_same_one() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0))], 0)
    (track,) = tracker.update([reading(at(30))], 33 * MS)  # the detector found it, its landmarks did not
    assert track.id == 1


def test_of_two_that_slip_onto_one_face_the_one_keeps_it_whose_way_leads_there() -> None:
    tracker = Tracker(Tracking())
    tracker.update([reading(at(0)), reading(at(300))], 0)
    for step in range(1, 13):
        left, right = at(step * 10), at(300 - step * 10)
        known = [face.track_id for face in tracker.active_faces(step * 40 * MS)]
        tracker.update(
            [reading(box, track_id=each) for box, each in zip((left, right), known, strict=True)], step * 40 * MS
        )
    front = at(168)  # the second one; the first is hidden behind it
    tracks = tracker.update([reading(front, track_id=1), reading(at(170), track_id=2)], 13 * 40 * MS)
    assert [track.misses for track in tracks] == [1, 0]
    for step in range(14, 18):
        tracker.update([reading(at(300 - step * 10), track_id=2)], step * 40 * MS)
    tracks = tracker.update([reading(at(120), track_id=2), reading(at(178))], 18 * 40 * MS)
    assert {track.id: track.box.x0 for track in tracks} == {1: 178, 2: 120}


def test_the_nearest_of_several_lost_ones_is_found_whatever_the_order() -> None:
    for order in (1, -1):
        tracker = Tracker(Tracking())
        tracker.update([reading(at(0)), reading(at(120))], 0)
        tracker.update([], 33 * MS)
        back = [reading(at(40)), reading(at(130))][::order]
        tracks = tracker.update(back, 66 * MS)
        assert {track.id: track.box.x0 for track in tracks} == {1: 40, 2: 130}


def test_a_snapshot_keeps_motions() -> None:
    tracker, other = Tracker(Tracking()), Tracker(Tracking())
    tracker.update([reading(at(0))], 0)
    for step in range(1, 10):
        follow(tracker, at(step * 10), step * 33 * MS)
    other.restore(tracker.snapshot())
    assert other.active_faces(330 * MS)[0].box == tracker.active_faces(330 * MS)[0].box != at(90)


def test_faces_that_are_apart_are_all_kept_and_those_that_are_tracked_come_first() -> None:
    each = [reading(at(0)), reading(at(300), track_id=2), reading(at(600)), reading(at(900), track_id=1)]
    assert deduplicate(each) == [each[1], each[3], each[0], each[2]]
    assert deduplicate(each[:1]) == each[:1]
    assert len(deduplicate([*each, reading(at(304))])) == 4


boxes = st.builds(at, st.floats(0, 200), st.floats(0, 200), st.floats(1, 200))


@given(boxes, boxes)
def test_the_shared_part_of_two_boxes(one: Box, other: Box) -> None:
    width = max(0.0, min(one.x1, other.x1) - max(one.x0, other.x0))
    height = max(0.0, min(one.y1, other.y1) - max(one.y0, other.y0))
    smaller = min(one.width * one.height, other.width * other.height)
    assert one.within(other) == other.within(one) == pytest.approx(width * height / smaller)
    assert one.iou(other) <= one.within(other) <= 1 + 1e-9


@given(boxes, boxes)
def test_a_found_face_is_known_by_overlap_by_part_or_by_place(one: Box, other: Box) -> None:
    small, large = sorted((one.height, other.height))
    part = one.within(other) >= 0.7 and small >= 0.25 * large
    known = part or one.iou(other) >= 0.3 or distance(one, other) < 0.25
    (found,) = [reading(one)]
    assert bool(untracked([found.face], [reading(other, track_id=1)])) != known
