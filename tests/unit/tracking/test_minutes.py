"""Figures per minute, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fer_edge.records import Box, EventType, FaceState, Reason, Update
from fer_edge.tracking.counters import HEAT_COLUMNS, View, view
from fer_edge.tracking.minutes import EventRow, Minute, MinuteMaker, added, moments, step_of
from tests.support.face_events import FRAME, face_event, face_state
from tests.support.steps import step

HAPPY, TURNED = View("happiness", None, 20), View("none", "turned", 21)


def test_a_minute_by_hand() -> None:
    maker = MinuteMaker()
    assert maker.add(step(120.0, HAPPY, events=(EventType.START,))) is None
    assert maker.add(step(121.0, HAPPY, TURNED, events=(EventType.START,))) is None
    assert maker.add(step(122.5, HAPPY)) is None
    assert maker.add(step(123.0, events=(EventType.END,))) is None
    over = maker.add(step(180.5, HAPPY))
    assert over == Minute(
        begin_s=120,
        watched_s=3.0,  # 57.5 s without a step were not watched
        visitors=2,
        left=1,
        dwell_s=4.0,
        most_faces=2,
        shown_s={"happiness": 3.0, "none": 1.5},
        abstained_s={"turned": 1.5},
        heat_s={20: 3.0, 21: 1.5},
    )
    maker.add(step(181.0))
    rest = maker.finish()
    assert rest is not None
    assert (rest.begin_s, rest.watched_s, rest.faces_s) == (180, 0.5, 0.5)
    assert maker.finish() is None


def test_time_over_the_turn_belongs_to_the_earlier_minute() -> None:
    maker = MinuteMaker()
    maker.add(step(59.5, HAPPY))
    over = maker.add(step(60.5, HAPPY))
    assert over is not None
    assert over.shown_s == {"happiness": 1.0}


@pytest.mark.parametrize(
    ("box", "cell"),
    [
        (Box(0, 0, 2, 2), 0),
        (Box(62, 46, 64, 48), 9 * HEAT_COLUMNS - 1),
        (Box(30, 22, 34, 26), 4 * HEAT_COLUMNS + 8),
        (Box(60, 40, 90, 70), 8 * HEAT_COLUMNS + 15),  # cut off at the picture's edge
    ],
)
def test_where_a_face_is_on_the_map(box: Box, cell: int) -> None:
    face = face_state("happiness")
    assert view(FaceState(replace(face.track, box=box), "happiness", None), (64, 48)).cell == cell
    assert view(face).cell is None


def test_steps_and_moments_of_an_update() -> None:
    update = Update(
        FRAME, faces=(face_state(None, Reason.DARK),), events=(face_event(3, expression=None, reason=Reason.DARK),)
    )
    one = step_of(update, at_s=7.0, mono_ns=5)
    assert one.shown == (View("none", "dark", 1),)
    assert moments(one, "run") == [EventRow(7.0, "run", 7, "update", None, "dark", 12.34567)]
    assert step_of(Update(None), at_s=8.0, mono_ns=6).shown == ()


def test_parts_of_a_minute_add_up() -> None:
    parts = [
        Minute(begin_s=60, watched_s=1.0, visitors=1, most_faces=3, shown_s={"fear": 1.0}, heat_s={4: 1.0}),
        Minute(
            begin_s=60,
            watched_s=2.0,
            left=1,
            dwell_s=5.0,
            most_faces=1,
            shown_s={"fear": 0.5, "none": 1.0},
            synced=False,
        ),
    ]
    assert added(parts, 60) == Minute(
        begin_s=60,
        watched_s=3.0,
        visitors=1,
        left=1,
        dwell_s=5.0,
        most_faces=3,
        shown_s={"fear": 1.5, "none": 1.0},
        heat_s={4: 1.0},
        synced=False,
    )
