"""A face that is hidden is in view nowhere, though it is open until tracking.keep_seconds are over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fer_edge.config import Events as EventsConfig
from fer_edge.config import Summary as SummaryConfig
from fer_edge.config import Tracking
from fer_edge.contract.encode import state_payload
from fer_edge.records import Box, FaceEvent, Summary, Update
from fer_edge.tracking.events import EventStateMachine
from fer_edge.tracking.minutes import MinuteMaker, step_of
from fer_edge.tracking.summary import SummaryMaker
from fer_edge.tracking.tracker import Tracker
from tests.support.samples import frame_of, reading

SECOND = 1_000_000_000
STEP_S = 0.1
LEFT, RIGHT = Box(10, 10, 60, 60), Box(120, 10, 170, 60)


class Scene:
    """Two faces; the right one goes, comes again within keep_seconds, and goes for good."""

    def __init__(self) -> None:
        self.tracker = Tracker(Tracking(confirm_seconds=0.1, keep_seconds=1.5))
        self.events = EventStateMachine(EventsConfig(), confirm_seconds=0.1)
        self.summary, self.minutes = SummaryMaker(SummaryConfig(interval_seconds=20, min_visitors=0)), MinuteMaker()
        self.frame = frame_of(np.zeros((96, 192, 3), np.uint8))
        self.told_summary: Summary | None = None
        self.wrong = 0  # counts that are too high
        self.reported: list[FaceEvent] = []

    def step(self, number: int, boxes: list[Box]) -> None:
        now_ns = round(number * STEP_S * SECOND)
        known = self.tracker.active_faces(now_ns)
        readings = []
        for box in boxes:
            one = reading(box)
            same = next((face.track_id for face in known if face.box.iou(box) > 0.5), None)
            readings.append(replace(one, face=replace(one.face, track_id=same)))
        tracks = self.tracker.update(readings, now_ns)
        events, faces = self.events.update(tracks, now_ns, width=192, height=96)
        self.reported += events
        self.told_summary = self.summary.update(events, faces, now_ns) or self.told_summary
        self.minutes.add(step_of(Update(self.frame, tracks, faces, events), at_s=now_ns / SECOND, mono_ns=now_ns))
        self.wrong += state_payload(faces).faces > len(boxes)
        self.wrong += sum(event.face_count > len(boxes) for event in events)


def test_state_counts_summary_history_and_map_know_only_who_is_in_view() -> None:
    scene = Scene()
    for number in range(201):
        here = [LEFT] if 40 <= number < 50 or number >= 100 else [LEFT, RIGHT]
        scene.step(number, here)
    assert scene.wrong == 0
    assert [event.track_id for event in scene.reported if event.event_type == "start"] == [1, 2], "hidden, not gone"
    minute = scene.minutes.finish()
    assert minute is not None
    face_seconds = 20.0 + 9.0  # the left one all the time, the right one for 9 s
    assert abs(minute.faces_s - face_seconds) < 0.5
    assert abs(sum(minute.heat_s.values()) - face_seconds) < 0.5
    assert scene.told_summary is not None
    assert scene.told_summary.seconds is not None
    assert abs(sum(scene.told_summary.seconds.values()) - face_seconds) < 0.5
