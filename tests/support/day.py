"""A day whose numbers are known, sped up.

Visitors come and go over 24 hours of a simulated clock: what networks would say of them goes through the daemon's own
tracking, events, signals, zones and minutes into a history on the disk, and `fer-edge report` reads it back. With
`pixels`, one visitor an hour is a portrait in a picture, seen by the networks too. Every figure has to be met within
2 %: docs/signals.md has the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.camera import FrameMaker
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.commands.report.periods import ReportOptions, report
from fer_edge.config import Attention, Config, Drowsiness, EyesMouth, Models, Zone
from fer_edge.config import History as HistoryConfig
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, Box, Frame, Intensities, Pose, Reading, Update
from fer_edge.sinks.history import HistoryTable
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.tracking.minutes import MinuteMaker, moments, step_of
from tests.support.samples import reading

BEGIN_S = 1_780_272_000.0  # 2026-06-01 00:00 UTC
DAY_S, HOUR_S, SECOND = 86_400.0, 3_600.0, 1_000_000_000
PER_HOUR = (0, 0, 0, 0, 0, 0, 4, 10, 18, 22, 26, 30, 36, 34, 30, 28, 30, 34, 30, 20, 10, 6, 2, 0)
"""Visitors in each hour."""

FPS, IDLE_S = 4.0, 1.5
WITHIN = 0.02
CONFIRM_S = Config().tracking.confirm_seconds  # before this, a face is told nowhere
NAMES = ("smile", "brow_raise", "jaw_open", "eye_closed_left", "eye_closed_right")
SHOWN = ("neutral", "happiness", "anger")
LEFT, RIGHT = (60.0, 120.0, 140.0, 200.0), (460.0, 120.0, 540.0, 200.0)
SMILE_S, YAWN_S, LOOK_S = 4.0, 3.0, 5.0
CONFIG = Config(
    models=Models(intensity="intensity"),
    attention=Attention(enabled=True),
    eyes_mouth=EyesMouth(enabled=True),
    drowsiness=Drowsiness(enabled=True),
    zones={
        name: Zone(points=((x, 0.0), (x + 0.5, 0.0), (x + 0.5, 1.0), (x, 1.0)))
        for name, x in (("left", 0.0), ("right", 0.5))
    },
)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who comes, does a few things, and goes."""

    at_s: float
    stay_s: float
    left: bool
    label: str
    looks: bool
    smiles: bool
    yawns: bool
    pixels: bool = False

    def reading(self, now_s: float, track_id: int | None) -> Reading:
        """What networks would say of it now."""
        since = now_s - self.at_s
        looking = self.looks and 2 <= since < 2 + LOOK_S
        smile = 0.9 if self.smiles and 2 <= since < 2 + SMILE_S else 0.1
        jaw = 0.8 if self.yawns and 2 <= since < 2 + YAWN_S else 0.02
        made = reading(Box(*(LEFT if self.left else RIGHT)), label=LABELS.index(self.label), track_id=track_id)
        values = Intensities(NAMES, np.array([smile, 0.2, jaw, 0.1, 0.1], np.float32))
        pose = Pose(0.0 if looking else 45.0, 0.0, 0.0, 2.0)
        return replace(made, landmarks=replace(made.landmarks, pose=pose), intensities=values)


def visits(*, pixels: bool) -> list[Visit]:
    """A day's; never two at the same place."""
    rng, planned, free_s = np.random.default_rng(18), [], {True: 0.0, False: 0.0}
    for hour, number in enumerate(PER_HOUR):
        arrivals = np.sort(rng.uniform(hour * HOUR_S + 60, (hour + 1) * HOUR_S - 120, number)).tolist()
        for order, at_s in enumerate(arrivals):
            left = bool(rng.random() < 0.6)
            stay_s = float(np.round(rng.uniform(10, 50), 1))
            if at_s < free_s[left]:
                at_s = free_s[left]
            at_s = float(np.ceil(at_s))
            free_s[left] = at_s + stay_s + 8
            label = str(rng.choice(SHOWN, p=(0.6, 0.3, 0.1)))
            looks, smiles, yawns = (bool(each) for each in rng.random(3) < (0.5, 0.3, 0.1))
            planned.append(Visit(at_s, stay_s, left, label, looks, smiles, yawns, pixels=pixels and order == 0))
    return planned


class Day(Pipeline):
    """The daemon's pipeline, whose networks are asked only where there are pixels."""

    def update(self, frame: Frame, readings: list[Reading]) -> Update:
        """What `step` makes of the networks' results."""
        tracks = self.tracker.update(readings, frame.taken_ns)
        size = {"width": frame.width, "height": frame.height}
        events, faces = self.events.update(tracks, frame.taken_ns, **size)
        return Update(frame, tracks, faces, events, readings=tuple(readings))


def updates(planned: list[Visit]) -> Iterator[Update]:
    """The day's steps: some a second while somebody is there, else one."""
    day, empty = Day(CONFIG), _picture(None)
    portraits = {left: _picture(left) for left in (True, False)} if any(each.pixels for each in planned) else {}
    waiting, now_s = sorted(planned, key=lambda each: each.at_s), 0.0
    here: list[Visit] = []
    while now_s < DAY_S:
        here = [each for each in here if now_s < each.at_s + each.stay_s]
        while waiting and waiting[0].at_s <= now_s:
            here.append(waiting.pop(0))
        taken_ns = round(now_s * SECOND) + 1
        seen = next((each for each in here if each.pixels), None)
        if seen and len(here) == 1:
            yield day.step(replace(portraits[seen.left], taken_ns=taken_ns))
        else:
            yield day.update(replace(empty, taken_ns=taken_ns), [_told(day, each, now_s) for each in here])
        later_s = now_s + (1 / FPS if here or day.tracker.watched else IDLE_S)
        now_s = round(min(later_s, waiting[0].at_s if waiting else DAY_S), 6)


def _told(day: Day, visit: Visit, now_s: float) -> Reading:
    new = visit.reading(now_s, None)
    tracks = [each for each in day.tracker.active_faces(round(now_s * SECOND)) if each.box.iou(new.face.box) > 0.5]
    return visit.reading(now_s, tracks[0].track_id if tracks else None)


def _picture(left: bool | None) -> Frame:
    image = np.full((480, 640, 3), 90, np.uint8)
    if left is not None:
        portrait = read_picture(PICTURES / "astronaut.jpg")[:320, 100:400]
        x = 10 if left else 330
        image[40:360, x : x + 300] = portrait
    return FrameMaker(Orientation()).make(image, taken_ns=0)


def measure(folder: Path, *, pixels: bool) -> list[tuple[str, float, float]]:
    """Name, what was planned and what the report's table says."""
    planned, path = visits(pixels=pixels), folder / "history.db"
    disk = SqliteFile(path, write_every_seconds=3600)
    history = HistoryTable(HistoryConfig(enabled=True, keep_days=3660), sure_now=lambda: BEGIN_S + DAY_S)
    disk.add(history)
    maker = MinuteMaker()
    for update in updates(planned):
        assert update.frame is not None
        step = step_of(update, at_s=BEGIN_S + update.frame.taken_ns / SECOND, mono_ns=update.frame.taken_ns)
        history.add(maker.add(step), moments(step, "day"))
    history.add(maker.finish(), [])
    disk.close()
    table, page = folder / "day.csv", folder / "day.html"
    report(CONFIG, ReportOptions(since="2026-06-01", until="2026-06-02", csv=str(table), out=page, file=path))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return _compared(planned, rows)


def _compared(planned: list[Visit], rows: list[dict[str, str]]) -> list[tuple[str, float, float]]:
    def got(column: str) -> float:
        return sum(float(row[column] or 0) for row in rows)

    compared = [
        ("watched, s", DAY_S, got("watched_s")),
        ("visitors", float(len(planned)), got("visitors")),
        ("stays, s", sum(each.stay_s for each in planned), got("dwell_s")),
    ]
    for zone, left in (("left", True), ("right", False)):
        there = [each.stay_s - CONFIRM_S for each in planned if each.left is left]
        compared += [(f"visits in zone {zone}", float(len(there)), got(f"zone_{zone}_visits"))]
        compared += [("stays there, s", sum(there), got(f"zone_{zone}_dwell_s"))]
    if any(each.pixels for each in planned):
        return compared  # what a portrait does is the networks' business
    for label in SHOWN:
        seconds = sum(each.stay_s - CONFIRM_S for each in planned if each.label == label)
        compared.append((f"{label}, face s", seconds, got(f"{label}_s")))
    for name, lasts_s in (("looks", LOOK_S), ("smiles", SMILE_S), ("yawns", YAWN_S)):
        number = float(sum(getattr(each, name) for each in planned))
        compared += [
            (f"{name}, faces", number, got(f"{name}_faces")),
            (f"{name}, s", number * lasts_s, got(f"{name}_on_s")),
        ]
    return compared
