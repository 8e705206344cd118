"""READ FIRST. `Pipeline.step` is the whole data path: a frame in, an update for every sink out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import cv2

from fer_edge.config import Config, Models
from fer_edge.records import (
    AlertState,
    Expression,
    Face,
    FaceEvent,
    FaceState,
    Frame,
    Landmarks,
    Quality,
    Reading,
    Summary,
    Update,
    ZoneState,
)
from fer_edge.runtime.clock import minute_of_day
from fer_edge.runtime.meter import Stopwatch
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.events import EventsSnapshot, EventStateMachine
from fer_edge.tracking.signals import SignalReader, enabled_signals
from fer_edge.tracking.summary import SummaryMaker
from fer_edge.tracking.tracker import Tracker, TrackerSnapshot, deduplicate, new_track, untracked
from fer_edge.tracking.zones import ZoneWatch
from fer_edge.vision.classifier import Classifier
from fer_edge.vision.delegate import Delegate
from fer_edge.vision.detector import TILES, Detector
from fer_edge.vision.intensity import IntensityReader
from fer_edge.vision.iris import IrisReader
from fer_edge.vision.landmarks import Landmarker, face_box, fuse_scores
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.quality import assess, reassess
from fer_edge.vision.schedule import DetectionSchedule, ScheduleSnapshot
from fer_edge.vision.tflite import UNACCELERATED, Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineSnapshot:
    """The state that earlier frames leave for the next one's faces and events. Alerts and summaries are not in it."""

    size: tuple[int, int]  # of the last frame, width and height in px
    cadence: ScheduleSnapshot
    tracker: TrackerSnapshot
    events: EventsSnapshot


class Pipeline:
    """Frame -> Update. Owns the interpreters, the tracker and the event state; for one thread."""

    def __init__(self, config: Config, models: tuple[Model, ...] = ()) -> None:
        """Load the models that config names, unless another pipeline of the same thread shares its own. Raises
        ModelError."""
        self.models = models or load_models(config.models)
        detector, landmarker, classifier, *more = self.models
        cv2.setNumThreads(config.models.threads)  # OpenCV would take every core for each small crop
        self.cards = tuple(model.card for model in self.models)
        self.colour = any(card.input.color != "gray" for card in self.cards)
        self.config = config
        self.detector = Detector(detector, config.detector)
        self.landmarker = Landmarker(landmarker)
        self.classifier = Classifier(classifier)
        self.intensities = IntensityReader(more[0]) if more else None
        self.irises = _irises(config)
        self.reset()

    def reset(self) -> None:
        """Reset the state: another source begins."""
        config = self.config
        self.cadence = DetectionSchedule(config.detector)
        self.tracker = Tracker(config.tracking, SignalReader(enabled_signals(config), config))
        self.events = EventStateMachine(
            config.events,
            confirm_seconds=config.tracking.confirm_seconds,
            landmarks=config.privacy.landmarks,
            zones=config.zones,
        )
        self.alerts = AlertMaker(config.alerts)
        self.summary = SummaryMaker(config.summary, config.zones)
        self.zones = ZoneWatch(config.zones)
        self._gone: tuple[AlertState, ...] = ()  # alerts that another configuration does not have any more
        self._size = (1, 1)

    def snapshot(self) -> PipelineSnapshot:
        """What `recall` needs to go on in another process, as if nothing had happened."""
        return PipelineSnapshot(self._size, self.cadence.snapshot(), self.tracker.snapshot(), self.events.snapshot())

    def restore(self, memory: PipelineSnapshot) -> None:
        """Continue from such a state. The next frame's time must be by the same clock."""
        self.reset()
        self._size = memory.size
        self.cadence.restore(memory.cadence)
        self.tracker.restore(memory.tracker)
        self.events.restore(memory.events)

    def configure(self, config: Config) -> None:
        """Apply other thresholds and rules; faces and their events continue."""
        self.config, self.irises = config, _irises(config)
        self.detector.configure(config.detector)
        self.cadence.configure(config.detector)
        self.tracker.configure(config.tracking, SignalReader(enabled_signals(config), config))
        self.events.configure(config.events, confirm_seconds=config.tracking.confirm_seconds, zones=config.zones)
        self.zones.replace(config.zones)
        self.summary.zones = config.zones
        self._gone += self.alerts.replace(config.alerts)

    def step(self, frame: Frame) -> Update:
        """Process one frame: follow known faces, detect new ones when due, classify, track, make events."""
        self._size, watch = (frame.width, frame.height), Stopwatch()
        # no "or": both take note of the frame
        if self.cadence.cut(frame, watched=self.tracker.watched) | self.tracker.in_a_hole(frame.taken_ns):
            self.tracker.clear()
        followed = self.tracker.active_faces(frame.taken_ns)
        readings = self.read(frame, followed, watch)
        for found in self.detect_new(frame, readings, len(followed), watch):
            readings += self.read(frame, untracked(found, readings), watch)
        with watch.stage("track"):
            tracks = self.tracker.update(readings, frame.taken_ns)
            events, faces = self.events.update(tracks, frame.taken_ns, width=frame.width, height=frame.height)
            changes = self._over_time(events, faces, frame.taken_ns)
        return Update(frame, tracks, faces, events, watch.read(), None, *changes, readings=tuple(readings))

    def _over_time(
        self, events: Sequence[FaceEvent], faces: Sequence[FaceState], now_ns: int
    ) -> tuple[tuple[AlertState, ...], Summary | None, tuple[ZoneState, ...]]:
        """The alerts that changed, the figures of an interval that is over, and the zones that changed."""
        minute = minute_of_day() if self.config.alerts else None
        gone, self._gone = self._gone, ()
        alerts = gone + self.alerts.update(faces, now_ns, minute_of_day=minute)
        return alerts, self.summary.update(events, faces, now_ns), self.zones.update(faces, now_ns)

    def detect_new(
        self, frame: Frame, readings: Sequence[Reading], followed: int, watch: Stopwatch
    ) -> tuple[list[Face], list[Face]]:
        """Candidates of one tile and of the whole picture, each when it is time for that; `followed`: of how many faces
        these are the readings."""
        known = [reading.face.box for reading in readings]
        lost, missing = len(known) < followed, self.tracker.missing
        due, tile = self.cadence.due(frame, known, lost=lost, missing=missing)
        with watch.stage("detect") if due or tile is not None else nullcontext():
            tiled = [] if tile is None else self.detector.detect_tile(frame, tile)  # first: its boxes are more exact
            return tiled, self.detector(frame) if due else []

    def read(self, frame: Frame, faces: Sequence[Face], watch: Stopwatch) -> list[Reading]:
        """Readings of those candidates that the landmarks model takes for faces."""
        readings = [self._read_one(frame, face, watch) for face in faces]
        return [reading for reading in readings if reading is not None]

    def look(self, frame: Frame) -> Update:
        """One independent picture: its faces as tracks of id 0, no events."""
        watch = Stopwatch()
        with watch.stage("detect"):
            found = [face for tile in range(TILES) for face in self.detector.detect_tile(frame, tile)]
            found += self.detector(frame)
        readings = deduplicate(self.read(frame, found, watch))
        return Update(
            frame, tuple(new_track(0, reading, frame.taken_ns) for reading in readings), timings_ms=watch.read()
        )

    def end_all(self, now_ns: int) -> Update:
        """End every face: the camera is lost, or the daemon stops."""
        self.tracker.clear()
        width, height = self._size
        events = self.events.end_all(now_ns, width=width, height=height)
        return Update(
            None,
            events=events,
            alerts=self.alerts.end_all(now_ns),
            summary=self.summary.update(events, (), now_ns),
            zones=self.zones.update((), now_ns),
        )

    def _read_one(self, frame: Frame, face: Face, watch: Stopwatch) -> Reading | None:
        with watch.stage("landmarks"):
            landmarks = self.landmarker(frame, face)
        box = face_box(landmarks.points)
        if not self._is_face(face, landmarks.score) or box.height < self.config.detector.min_face_px:
            return None
        with watch.stage("classify"):
            quality, expression = self._judge(frame, face, landmarks)
            clear = quality.reason is None
            lively = self.intensities(frame, landmarks) if self.intensities and clear else None
            eyes = self.irises(frame.gray, landmarks) if self.irises and clear else None
        placed = Face(box, face.score, face.keypoints, face.track_id)
        return Reading(placed, landmarks, quality, expression, lively, eyes)

    def _judge(self, frame: Frame, face: Face, landmarks: Landmarks) -> tuple[Quality, Expression | None]:
        """A face's expression where it is due, and whether it can be classified."""
        limits, before = self.config.quality, self.tracker.quality_of(face)
        if before is not None and not self.tracker.should_classify(face, frame.taken_ns):
            return reassess(before, landmarks, limits), None
        crop = self.classifier.crop(frame, landmarks)
        quality = assess(crop, landmarks, limits)
        return quality, self.classifier(crop) if quality.reason is None else None

    def _is_face(self, face: Face, presence: float) -> bool:
        """Whether the landmarks still see a tracked face; for a detected one, both models count."""
        config = self.config
        if presence < config.tracking.min_score:
            return False
        return face.track_id is not None or fuse_scores(face.score, presence) >= config.detector.min_score


def _irises(config: Config) -> IrisReader | None:
    """What follows the eyes, where config asks for that."""
    attention = config.attention
    return IrisReader(attention.min_eye_px) if attention.enabled and attention.iris else None


def load_models(config: Models) -> tuple[Model, ...]:
    """Detector, landmarks and expression model; the one for intensities where config names it. Raises ModelError."""
    load = partial(Model, models_folder(config.folder), threads=config.threads, runtime=config.runtime)
    delegate = Delegate(config.delegate, config.delegate_options) if config.delegate else None
    on = dict.fromkeys(config.delegate_roles, delegate)
    models: tuple[Model, ...] = (
        load(config.detector, role="detector", delegate=on.get("detector")),
        load(config.landmarks, role="landmarks", delegate=on.get("landmarks")),
        load(config.expression, role="expression", delegate=on.get("expression")),
    )
    if config.intensity:
        models += (load(config.intensity, role="intensity"),)
    if slow := ", ".join(model.card.name for model in models if not model.accelerated):
        log.warning("%s: %s", slow, UNACCELERATED)
    return models
