"""zones.py and what is made of it: who is in which zone, with hysteresis, in events, counts, summaries and history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.camera.orientation import Orientation
from fer_edge.config import Alert, Camera, Events, Zone
from fer_edge.config import Summary as SummaryConfig
from fer_edge.contract.encode import event_payload, state_payload, summary_payload, zone_payload
from fer_edge.records import Box, EventType, FaceEvent, FaceState, Track, Update, ZoneSummary
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.events import EventStateMachine
from fer_edge.tracking.minutes import MinuteMaker, ZoneMinute, added, moments, step_of
from fer_edge.tracking.summary import SummaryMaker
from fer_edge.tracking.tracker import new_track
from fer_edge.tracking.zones import ZoneMap, ZoneWatch
from tests.support.face_events import FRAME, IDENTITY, face_event, face_state
from tests.support.samples import reading

MS = 1_000_000
SIZE = 200, 100
LEFT = Zone(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)), margin=0.1)  # 10 px of 100
RIGHT = Zone(points=((0.5, 0), (1, 0), (1, 1), (0.5, 1)), margin=0.1)
ZONES = {"left": LEFT, "right": RIGHT}


def at(x: float, y: float = 50, *, side: float = 20) -> Box:
    """A face with its middle there."""
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def track(now_ms: int, x: float, *, id_: int = 1, misses: int = 0) -> Track:
    seen = new_track(id_, reading(at(x)), 0)
    return replace(seen, hits=2 + now_ms, last_ns=now_ms * MS, misses=misses)


class Scene:
    """Plays faces to an EventStateMachine and keeps what it tells of zones."""

    def __init__(self, **zones: Zone) -> None:
        self.maker = EventStateMachine(Events(heartbeat_seconds=0), confirm_seconds=0.2, zones=zones or ZONES)
        self.reported: list[str] = []
        self.faces: tuple[FaceState, ...] = ()

    def show(self, now_ms: int, *tracks: Track) -> list[FaceEvent]:
        events, self.faces = self.maker.update(tracks, now_ms * MS, width=SIZE[0], height=SIZE[1])
        self.reported += [" ".join(filter(None, (event.event_type.value, event.zone))) for event in events]
        return list(events)


@pytest.mark.parametrize(("anchor", "y", "inside"), [("centre", 45, True), ("centre", 55, False), ("foot", 45, False)])
def test_the_anchor_decides(anchor: str, y: float, inside: bool) -> None:
    zone = Zone(points=((0, 0), (1, 0), (1, 0.5), (0, 0.5)), anchor=anchor)  # type: ignore[arg-type]  # both are right
    assert ZoneMap({"top": zone}).around(at(100, y), SIZE) == (("top",) if inside else ())


def test_a_foot_below_the_picture_is_at_its_edge() -> None:
    zone = Zone(points=((0, 0.8), (1, 0.8), (1, 1), (0, 1)), anchor="foot")
    assert ZoneMap({"floor": zone}).around(Box(90, 60, 140, 130), SIZE) == ("floor",)


def test_who_is_inside_leaves_only_beyond_the_margin() -> None:
    zones = ZoneMap({"left": LEFT})
    assert zones.around(at(105), SIZE) == ()
    assert zones.around(at(105), SIZE, before=("left",)) == ("left",), "5 px outside of 10"
    assert zones.around(at(112), SIZE, before=("left",)) == ()


def test_zones_may_overlap_and_have_dents() -> None:
    dented = Zone(points=((0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)))
    zones = ZoneMap({"all": Zone(points=((0, 0), (1, 0), (1, 1), (0, 1))), "dented": dented})
    assert zones.around(at(100, 50), SIZE) == ("all",)
    assert zones.around(at(100, 10), SIZE) == ("all", "dented")


@pytest.mark.parametrize("turned", [{"rotation": 90}, {"rotation": 180}, {"rotation": 270}, {"hflip": True}])
def test_zones_are_of_the_upright_picture(turned: dict[str, bool | int]) -> None:
    """The top left quarter of what is seen, however the camera is mounted."""
    sensor = np.zeros((100, 100), np.uint8)
    upright = Orientation.of(Camera(**turned))  # type: ignore[arg-type]  # each its own type
    for row, column in ((20, 20), (20, 80), (80, 20), (80, 80)):
        sensor[:] = 0
        sensor[row - 2 : row + 2, column - 2 : column + 2] = 255
        ys, xs = np.nonzero(upright(sensor))
        box = at(float(xs.mean()), float(ys.mean()), side=4)
        corner = Zone(points=((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)))
        seen_there = bool(xs.mean() < 50 and ys.mean() < 50)
        assert bool(ZoneMap({"corner": corner}).around(box, (100, 100))) == seen_there


def test_a_face_enters_and_leaves_between_its_start_and_its_end() -> None:
    scene = Scene()
    scene.show(0, replace(track(0, 50), hits=1))
    start, enter = scene.show(300, track(300, 50))
    assert (start.zones, start.zone, enter.zone, enter.zones, enter.zone_dwell_s) == (
        ("left",),
        None,
        "left",
        ("left",),
        None,
    )
    (other,) = scene.show(900, track(900, 105))  # still within the margin of the one, and already in the other
    assert (other.event_type, other.zone, other.zones) == (EventType.ENTER, "right", ("left", "right"))
    (leave,) = scene.show(1300, track(1300, 120))
    assert (leave.event_type, leave.zone, leave.zone_dwell_s) == (EventType.LEAVE, "left", 1.0)
    assert leave.expression == leave.previous == "happiness", "it says nothing new of the expression"
    assert scene.show(1500, track(1300, 120, misses=3)) == [], "a hidden face stays where it was"
    left, end = scene.show(2800)
    assert (left.zone, left.zone_dwell_s, end.event_type, end.zones) == ("right", 0.4, EventType.END, ())
    assert scene.reported == ["start", "enter left", "enter right", "leave left", "leave right", "end"]


def test_without_zones_nothing_is_said_of_them() -> None:
    maker = EventStateMachine(Events(), confirm_seconds=0.2)
    (start,), faces = maker.update([track(300, 50)], 300 * MS, width=200, height=100)
    assert (start.zones, faces[0].zones) == (None, ())
    assert not {"zones", "zone", "zone_dwell_s"} & msgspec.to_builtins(event_payload(start, IDENTITY)).keys()


def test_a_zone_that_is_taken_out_of_config_is_left() -> None:
    scene = Scene()
    scene.show(300, track(300, 50))
    scene.maker.configure(Events(heartbeat_seconds=0), confirm_seconds=0.2, zones={"right": RIGHT})
    (leave,) = scene.show(700, track(700, 50))
    assert (leave.zone, leave.zone_dwell_s, leave.zones) == ("left", 0.4, ())
    scene.maker.configure(Events(heartbeat_seconds=0), confirm_seconds=0.2)
    assert scene.show(800, track(800, 50)) == []


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.dictionaries(st.integers(1, 3), st.tuples(st.integers(0, 200), st.booleans()), max_size=3), max_size=25
    ),
    removed=st.integers(0, 25),
)
def test_every_enter_has_one_leave_between_start_and_end(
    steps: list[dict[int, tuple[int, bool]]], removed: int
) -> None:
    scene = Scene()
    reported: defaultdict[int, list[FaceEvent]] = defaultdict(list)
    gone: set[int] = set()
    for number, here in enumerate([*steps, {}], 1):
        if number == removed:
            scene.maker.configure(Events(heartbeat_seconds=0), confirm_seconds=0.2, zones={"left": LEFT})
        now_ms = 300 * number
        tracks = [track(now_ms, x, id_=id_, misses=int(hidden)) for id_, (x, hidden) in here.items() if id_ not in gone]
        for event in scene.show(now_ms, *tracks):
            reported[event.track_id].append(event)
            if event.event_type is EventType.END:
                gone.add(event.track_id)  # an id is never used again
    for life in reported.values():
        assert (life[0].event_type, life[-1].event_type) == (EventType.START, EventType.END)
        inside: set[str] = set()
        for event in life[1:-1]:
            if event.zone is not None:
                assert (event.zone in inside) == (event.event_type is EventType.LEAVE)
                assert event.event_type in (EventType.ENTER, EventType.LEAVE)
                inside ^= {event.zone}
        assert inside == set()
    assert [
        event.seq for event in sorted((e for life in reported.values() for e in life), key=lambda e: e.seq)
    ] == list(range(1, sum(map(len, reported.values())) + 1))


def in_zone(label: str | None, *zones: str) -> FaceState:
    return replace(face_state(label), zones=zones)


def test_the_state_of_a_zone_is_told_when_it_changes() -> None:
    watch = ZoneWatch(["door", "till"])
    assert [(zone.name, zone.shown) for zone in watch.update((), 0)] == [("door", ()), ("till", ())]
    (door,) = watch.update([in_zone("happiness", "door"), in_zone(None)], 5)
    assert (door.shown, door.since_ns) == (("happiness",), 5)
    (door,) = watch.update([in_zone("happiness", "door"), in_zone(None, "door")], 7)
    assert (door.shown, door.since_ns) == (("happiness", None), 5), "it has been occupied since then"
    payload = zone_payload(door)
    assert (payload.faces, payload.state, payload.expressions["happiness"], payload.expressions["none"]) == (
        2,
        "ON",
        1,
        1,
    )
    hidden = replace(in_zone("happiness", "door"), track=replace(face_state("happiness").track, misses=1))
    (door,) = watch.update([hidden], 9)
    assert (zone_payload(door).state, door.since_ns) == ("OFF", 9)
    watch.replace(["yard", "door"])
    assert [zone.name for zone in watch.update([], 11)] == ["yard"]


def test_the_state_counts_every_zone() -> None:
    faces = (in_zone("happiness", "door", "till"), in_zone(None, "door"))
    assert state_payload(faces, ("door", "till", "yard")).zones == {"door": 2, "till": 1, "yard": 0}


def test_an_alert_counts_only_the_faces_in_its_zone() -> None:
    rule = Alert(expressions=("happiness",), zone="door", for_seconds=0)
    maker = AlertMaker({"joy": rule})
    (off,) = maker.update([in_zone("happiness", "till")], 0, minute_of_day=None)
    (on,) = maker.update([in_zone("happiness", "till"), in_zone("happiness", "door")], 1, minute_of_day=None)
    assert (off.on, on.on, on.faces) == (False, True, 1)


def moved(kind: EventType, *, id_: int, dwell_s: float | None = None) -> FaceEvent:
    return face_event(event_type=kind, track_id=id_, zone="door", zones=(), zone_dwell_s=dwell_s)


def test_a_summary_has_figures_of_each_zone_and_withholds_those_of_few_faces() -> None:
    maker = SummaryMaker(SummaryConfig(interval_seconds=10, min_visitors=2), ["door", "till"])
    happy, second = in_zone("happiness", "door"), 1_000_000_000
    maker.update([moved(EventType.ENTER, id_=1)], [happy], 0)
    maker.update([moved(EventType.ENTER, id_=2)], [happy, in_zone(None, "door")], second)
    maker.update([moved(EventType.LEAVE, id_=2, dwell_s=1)], [happy], 2 * second)
    maker.update([moved(EventType.LEAVE, id_=1, dwell_s=2), moved(EventType.ENTER, id_=1)], [happy], 3 * second)
    for now_s in range(4, 10):
        maker.update([], [], now_s * second)
    summary = maker.update([], [], 10 * second)
    assert summary is not None
    door = summary.zones["door"]
    assert (door.visitors, door.visits, door.mean_dwell_s, door.most_faces) == (2, 3, 1.5, 2)
    assert door.seconds is not None
    assert (door.seconds["happiness"], door.seconds["none"]) == (4.0, 1.0)
    assert door.mean_faces == pytest.approx(0.5)
    assert summary.zones["till"] == ZoneSummary()
    zones = summary_payload(summary, min_visitors=2).zones
    assert isinstance(zones, dict)
    assert (zones["door"].visits, zones["till"].visits) == (3, None)


def test_one_face_that_comes_and_goes_is_one_visitor() -> None:
    """Else a zone's figures would be about a single person."""
    maker = SummaryMaker(SummaryConfig(interval_seconds=1, min_visitors=2), ["door"])
    for number in range(4):
        maker.update([moved(EventType.ENTER, id_=1), moved(EventType.LEAVE, id_=1, dwell_s=0)], [], number * 100 * MS)
    summary = maker.update([], [], 1000 * MS)
    assert summary is not None
    assert summary.zones["door"] == ZoneSummary()


def test_minutes_keep_figures_of_zones_and_add_up() -> None:
    maker, second = MinuteMaker(), 1_000_000_000
    enter, leave = moved(EventType.ENTER, id_=1), moved(EventType.LEAVE, id_=1, dwell_s=2.5)
    steps = [
        Update(FRAME, faces=(in_zone("happiness", "door"),), events=(enter,)),
        Update(FRAME, faces=(in_zone(None, "door"), in_zone("anger")), events=()),
        Update(FRAME, events=(leave,)),
    ]
    for number, update in enumerate(steps):
        maker.add(step_of(update, at_s=60 + number, mono_ns=number * second))
    minute = maker.finish()
    assert minute is not None
    assert minute.zones == {
        "door": ZoneMinute(visits=1, left=1, dwell_s=2.5, most_faces=1, shown_s={"happiness": 1.0, "none": 1.0})
    }
    both = added([minute, minute], 0).zones["door"]
    assert (both.visits, both.dwell_s, both.most_faces, both.faces_s) == (2, 5.0, 1, 4.0)
    rows = moments(step_of(steps[2], at_s=1, mono_ns=0), "run")
    assert [(row.kind, row.zone, row.dwell_s) for row in rows] == [("leave", "door", 2.5)]
