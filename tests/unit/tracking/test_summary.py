"""summary.py: figures over an interval, exact, and none over few faces."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Summary as SummaryConfig
from fer_edge.records import LABELS, EventType, FaceEvent, Reason, Summary
from fer_edge.tracking.summary import SummaryMaker
from tests.support.face_events import face_event, face_state

SECOND = 1_000_000_000
KEYS = {*LABELS, "none"}


def start(faces: int = 1) -> list[FaceEvent]:
    """So many faces came."""
    return [face_event(event_type=EventType.START, dwell_s=0.2)] * faces


def end(dwell_s: float) -> list[FaceEvent]:
    """A face left."""
    return [face_event(event_type=EventType.END, dwell_s=dwell_s)]


class Scene:
    """Plays steps to a SummaryMaker with intervals of 10 s and keeps its summaries."""

    def __init__(self, *, interval_seconds: float = 10, min_visitors: int = 1) -> None:
        self.maker = SummaryMaker(SummaryConfig(interval_seconds=interval_seconds, min_visitors=min_visitors))
        self.summaries: list[Summary] = []

    def step(self, now_s: float, *labels: str | None, events: list[FaceEvent] | None = None) -> Summary | None:
        faces = [face_state(label, None if label else Reason.TURNED) for label in labels]
        summary = self.maker.update(events or (), faces, round(now_s * SECOND))
        self.summaries += [summary] if summary else []
        return summary

    def steps(self, first_s: int, last_s: int, *labels: str | None) -> None:
        """A step each second, both included."""
        for now_s in range(first_s, last_s + 1):
            self.step(now_s, *labels)


def hidden(start_s: float, end_s: float) -> Summary:
    """A summary without figures."""
    return Summary(round(start_s * SECOND), round(end_s * SECOND), None, None, None, None, None)


def test_an_interval_by_hand() -> None:
    scene = Scene()
    scene.step(100, "happiness", events=start())
    scene.step(102, "happiness", None, events=start())  # 2 s of happiness so far
    scene.step(103.5, "neutral", None)  # 1.5 s more, and of none
    scene.step(105, None, events=end(5.5))  # 1.5 s of neutral, and of none
    scene.step(106, events=end(3.5))  # 1 s of none
    scene.step(108)
    summary = scene.step(110)
    assert summary is not None
    assert (summary.start_ns, summary.end_ns) == (100 * SECOND, 110 * SECOND)
    assert summary.visitors == 2
    assert summary.mean_dwell_s == pytest.approx(4.5)
    shown = {"happiness": 3.5, "neutral": 1.5, "none": 4.0}
    assert summary.seconds == {**dict.fromkeys(KEYS, 0.0), **shown}
    assert summary.mean_faces == pytest.approx(9 / 10)
    assert summary.most_faces == 2


@pytest.mark.parametrize(("leave", "dwell_s"), [(2, None), (3, 4.0)])
def test_the_dwell_of_a_few_is_withheld(leave: int, dwell_s: float | None) -> None:
    scene = Scene(min_visitors=3)
    scene.step(0, events=[*start(3), *(end(4.0) * leave)])
    scene.steps(1, 10)
    assert (scene.summaries[0].visitors, scene.summaries[0].mean_dwell_s) == (3, dwell_s)


def test_the_step_that_ends_an_interval_belongs_to_the_next() -> None:
    scene = Scene()
    scene.step(0, events=start(2))
    scene.steps(1, 9)
    scene.step(10, "fear", "anger", "fear", events=[*start(3), *end(4)])
    scene.step(11)
    scene.steps(12, 20)
    first, second = scene.summaries
    assert (first.visitors, first.mean_dwell_s, first.mean_faces, first.most_faces) == (2, None, 0.0, 0)
    assert (second.start_ns, second.end_ns) == (10 * SECOND, 20 * SECOND)
    assert (second.visitors, second.mean_dwell_s, second.most_faces) == (3, 4.0, 3)
    assert second.seconds == {**dict.fromkeys(KEYS, 0.0), "fear": 2.0, "anger": 1.0}
    assert second.mean_faces == pytest.approx(0.3)


def test_a_late_step_ends_the_interval_late_and_loses_nothing() -> None:
    scene = Scene()
    scene.step(0, "fear", events=start())
    scene.steps(1, 9, "fear")
    scene.step(10.5, "fear")
    (summary,) = scene.summaries
    assert summary.end_ns == 10.5 * SECOND
    assert summary.seconds is not None
    assert summary.seconds["fear"] == 10.5
    scene.steps(11, 20, "fear")
    assert len(scene.summaries) == 1
    scene.step(20.5)
    assert scene.summaries[1].start_ns == 10.5 * SECOND


def test_without_an_interval_there_is_never_a_summary() -> None:
    scene = Scene(interval_seconds=0)
    scene.step(0, "fear", events=start(9))
    scene.step(1, "fear")
    scene.step(100_000, "fear")
    assert scene.summaries == []


def test_few_visitors_hide_every_figure() -> None:
    scene = Scene(min_visitors=3)
    scene.step(0, "fear", events=start(2))
    scene.steps(1, 9, "fear")
    assert scene.step(10, "fear", events=start(3)) == hidden(0, 10)
    scene.steps(11, 19, "fear")
    scene.step(20, "fear")
    assert scene.summaries[1].visitors == 3
    scene.steps(21, 29, "fear")
    assert scene.step(30) == hidden(20, 30)  # nobody came; who is still there tells nothing


def test_updates_are_neither_visits_nor_ends() -> None:
    scene = Scene()
    scene.step(0, "fear", events=start())
    scene.step(1, "fear", events=[face_event(dwell_s=7.0)] * 5)
    scene.steps(2, 10)
    assert (scene.summaries[0].visitors, scene.summaries[0].mean_dwell_s) == (1, None)


def test_a_gap_counts_for_nothing() -> None:
    scene = Scene()
    scene.step(0, "fear", events=start())
    scene.step(2, "fear")  # 2 s are no gap yet
    scene.step(4.1, "fear", "fear")  # 2.1 s are one
    scene.step(5.1)
    scene.step(8)
    scene.step(10)
    (summary,) = scene.summaries
    assert summary.seconds is not None
    assert summary.seconds["fear"] == 4.0  # 1 face for 2 s, 2 faces for 1 s
    assert summary.mean_faces == pytest.approx(4 / 5)  # over the 5 s that were watched


def test_after_a_long_absence_an_interval_begins_afresh() -> None:
    scene = Scene()
    scene.step(0, "fear", events=start())
    scene.step(1, "fear")
    scene.step(1000, "fear", events=start(4))
    (summary,) = scene.summaries
    assert (summary.end_ns, summary.visitors) == (SECOND, 1)  # up to the last step before
    assert summary.mean_faces == 1.0
    scene.steps(1001, 1010)
    assert len(scene.summaries) == 2
    assert (scene.summaries[1].start_ns, scene.summaries[1].visitors) == (1000 * SECOND, 4)


def test_an_interval_of_which_nothing_was_watched_is_not_told() -> None:
    scene = Scene()
    scene.step(0, "fear", events=start())
    scene.steps(1, 9, "fear")
    scene.step(14, events=end(9))  # the camera is away: the summary is due, and the ends are told
    assert [summary.end_ns for summary in scene.summaries] == [9 * SECOND]
    scene.step(1000, events=start())
    scene.step(2000)
    assert len(scene.summaries) == 1
    scene.steps(2001, 2010)
    assert (scene.summaries[1].start_ns, scene.summaries[1].end_ns) == (2000 * SECOND, 2010 * SECOND)
    assert (scene.summaries[1].visitors, scene.summaries[1].mean_dwell_s) == (1, 9.0)  # nothing is lost


def test_time_that_stands_still_adds_nothing() -> None:
    scene = Scene(interval_seconds=1)
    scene.step(5, "fear", events=start())
    scene.step(5, "fear")
    scene.step(6)
    assert scene.summaries[0].mean_faces == 1.0


Step = tuple[int, list[str | None], int]
step = st.tuples(
    st.integers(0, 30),  # tenths of a second since the step before
    st.lists(st.sampled_from([None, *LABELS]), max_size=4),
    st.integers(0, 3),  # faces that come
)


@settings(max_examples=300)
@given(st.lists(step, min_size=1, max_size=60))
def test_whatever_happens_the_figures_add_up(steps: list[Step]) -> None:
    scene = Scene(interval_seconds=2, min_visitors=0)  # less than config.yaml allows: everything shows
    now, before, expected = 0, list[str | None](), Counter[str]()
    for pause, labels, visitors in [*steps, (20, [], 0)]:  # 2 s are no gap, and complete an interval
        now += pause
        if pause <= 20:
            for label in before:
                expected[label or "none"] += pause
        scene.step(now / 10, *labels, events=start(visitors))
        before = labels

    reported = Counter[str]()
    for summary in scene.summaries:
        assert summary.seconds is not None
        assert set(summary.seconds) == KEYS
        reported.update({label: round(seconds * 10) for label, seconds in summary.seconds.items()})
    assert +reported == +expected
    assert sum(summary.visitors or 0 for summary in scene.summaries) == sum(visitors for _, _, visitors in steps)
    for earlier, later in itertools.pairwise(scene.summaries):
        assert earlier.start_ns < earlier.end_ns <= later.start_ns


@settings(max_examples=200)
@given(st.integers(1, 8), st.lists(step, min_size=1, max_size=60))
def test_whatever_happens_few_visitors_hide_every_figure(min_visitors: int, steps: list[Step]) -> None:
    shy, frank = Scene(interval_seconds=2, min_visitors=min_visitors), Scene(interval_seconds=2, min_visitors=0)
    now = 0
    for pause, labels, visitors in steps:
        now += pause
        for scene in (shy, frank):
            scene.step(now / 10, *labels, events=[*start(visitors), *end(pause)])
    for covered, bare in zip(shy.summaries, frank.summaries, strict=True):
        assert bare.visitors is not None
        few = bare.visitors < min_visitors
        assert covered.mean_dwell_s in (None, bare.mean_dwell_s)  # None where few left
        shown = replace(bare, mean_dwell_s=covered.mean_dwell_s)
        assert covered == (hidden(bare.start_ns / SECOND, bare.end_ns / SECOND) if few else shown)
