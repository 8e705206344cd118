"""A report's figures, by hand."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from fer_edge.commands.report.summary import (
    MOST_BARS,
    Segment,
    Visit,
    bars,
    figures,
    stay_counts,
    visits,
)
from fer_edge.tracking.minutes import EventRow, Minute
from tests.support.stories import DAY, EVENTS, MINUTES, event_row, story


def test_visits_by_hand() -> None:
    first, second = visits(EVENTS)
    assert (first.name, first.ended, second.ended) == ("#1", True, False)
    assert first.segments == (
        Segment(61.5, 70.0, "neutral", None),
        Segment(70.0, 81.5, "happiness", None),  # seen last 20 s after it came; the end is told later
    )
    assert second.segments == (Segment(80.0, 130.0, None, "turned"),)
    assert first.dwell_s == 20.0


def test_a_face_of_before_the_period() -> None:
    [one] = visits([event_row(1010.0, "end", "fear", dwell_s=300.0)], begin_s=1000.0)
    assert (one.segments, one.dwell_s) == ((Segment(1000.0, 1010.0, "fear", None),), 300.0)
    [one] = visits(
        [event_row(1010.0, "update", "fear", dwell_s=300.0), event_row(1020.0, "end", "fear", dwell_s=308.0)]
    )
    assert (one.segments, one.dwell_s) == ((Segment(1010.0, 1020.0, "fear", None),), 308.0)
    assert figures(story(events=[event_row(1010.0, "end", "fear", dwell_s=300.0)])).median_dwell_s == 300.0


def test_a_face_that_is_still_there() -> None:
    events = [event_row(1.0, "start", track=1), EventRow(20.0, "next run", 1, "start", "fear", None, 0.5)]
    before, now = visits(events, end_s=31.0)
    assert (before.end_s, before.ended) == (1.0, False), "the run that ended in between told no end"
    assert (now.begin_s, now.end_s, now.dwell_s, now.ended) == (19.5, 31.0, 11.5, False)


def test_ids_of_two_runs_are_two_faces() -> None:
    two = visits([event_row(1.0, "start"), EventRow(5.0, "other run", 1, "start", "fear", None, 0.0)])
    assert [visit.segments[0].expression for visit in two] == ["neutral", "fear"]


def test_figures_by_hand() -> None:
    one = figures(story(MINUTES, EVENTS))
    assert (one.visitors, one.most_faces, one.watched_s, one.faces_s) == (3, 2, 100.0, 70.0)
    assert (one.mean_dwell_s, one.median_dwell_s) == (20.0, 20.0)
    assert one.mean_faces == pytest.approx(0.7)
    assert one.judged_share == pytest.approx(60 / 70)
    assert one.shares["neutral"] == pytest.approx(50 / 60)
    assert sum(one.shares.values()) == pytest.approx(1.0)
    assert list(one.abstained) == ["turned", "uncertain"]
    assert one.abstained["turned"] == pytest.approx(8 / 70)


def test_figures_of_nothing() -> None:
    one = figures(story())
    assert (one.mean_dwell_s, one.mean_faces, one.judged_share) == (None, None, None)
    assert set(one.shares.values()) == {0.0}


def test_bars_add_up_and_show_gaps() -> None:
    step_s, steps = bars(story(MINUTES, end_s=301.0))
    assert step_s == 60
    assert [(step.begin_s, step.watched_s, step.visitors) for step in steps] == [
        (0, 0.0, 0),
        (60, 60.0, 2),
        (120, 40.0, 1),
        (180, 0.0, 0),
        (240, 0.0, 0),
        (300, 0.0, 0),
    ]
    assert bars(story(end_s=30 * DAY))[0] == DAY
    assert len(bars(story(end_s=20_000 * DAY))[1]) <= MOST_BARS + 1


def test_a_short_film_has_short_bars_and_its_last_one_too() -> None:
    seconds = [Minute(begin_s=second, watched_s=1.0) for second in range(4)]
    step_s, steps = bars(story(seconds, end_s=3.4, minute_s=1))
    assert (step_s, [step.begin_s for step in steps]) == (1, [0, 1, 2, 3])
    assert bars(story(end_s=91.0, minute_s=1))[0] == 5
    assert bars(story(end_s=3.4, minute_s=60))[0] == 60, "never shorter than what is known"


def test_days_begin_at_midnight_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # +05:30
    time.tzset()
    try:
        begin_s = datetime(2026, 11, 1).timestamp()
        _, steps = bars(story(begin_s=begin_s + 3600, end_s=begin_s + 30 * DAY, wall=True))
        assert steps[0].begin_s == begin_s
    finally:
        monkeypatch.undo()
        time.tzset()


def test_bins_of_stays() -> None:
    lasting = [
        Visit("#1", (Segment(0, d, None, None),), d, ended) for d, ended in ((2, True), (3, True), (2000, False))
    ]
    assert stay_counts(lasting) == [("to 2 s", 1), ("to 5 s", 1)]
    assert stay_counts([]) == []


def test_enters_and_leaves_are_no_part_of_a_visit() -> None:
    moved = EventRow(66.0, "run", 1, "leave", "neutral", None, 1.0, zone="door")
    assert visits([*EVENTS[:2], moved]) == visits(EVENTS[:2])
