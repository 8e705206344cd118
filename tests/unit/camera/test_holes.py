"""A hole in a film: faces outlast it within `tracking.keep_seconds`, and end in a longer one."""

from __future__ import annotations

from pathlib import Path

import av
import msgspec
import pytest

from fer_edge.camera.losses import Losses
from fer_edge.config import Config, Tracking
from fer_edge.pipeline import Pipeline
from fer_edge.records import EventType, FaceEvent, Image
from tests.support.kinds_of_film import NEEDS_FFMPEG, frames_of, make_film
from tests.support.samples import frame_of

FPS = 25
KEEP_SECONDS = 1.5


def zero_frames(path: Path, first: int, last: int) -> None:
    """Overwrite what is stored of some frames, but for their places in the film."""
    with av.open(str(path)) as film:
        places = [(packet.pos, packet.size) for packet in film.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for begin, size in places[first:last]:
        assert begin is not None
        data[begin + 16 : begin + size - 16] = bytes(size - 32)  # Matroska counts from the head before it
    path.write_bytes(data)


def events_of(path: Path) -> list[FaceEvent]:
    pipeline = Pipeline(msgspec.structs.replace(Config(), tracking=Tracking(keep_seconds=KEEP_SECONDS)))
    frames, camera = frames_of(path)
    assert camera.damaged
    found = [event for frame in frames for event in pipeline.step(frame).events]
    return [*found, *pipeline.end_all(frames[-1].taken_ns).events]


@NEEDS_FFMPEG
@pytest.mark.parametrize(("hole_s", "faces"), [(0.9, 1), (2.2, 2)])
@pytest.mark.parametrize("kind", ["a.mp4", "a.avi", "a.mkv"])
def test_a_face_outlasts_a_short_hole_and_ends_in_a_long_one(
    kind: str, hole_s: float, faces: int, tmp_path: Path, image: Image
) -> None:
    missing = round(hole_s * FPS)
    motion = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
    path = make_film(tmp_path / kind, image, *motion, frames=40 + missing)
    zero_frames(path, 20, 20 + missing)
    events = events_of(path)
    starts = [event for event in events if event.event_type is EventType.START]
    ends = [event for event in events if event.event_type is EventType.END]
    assert len({event.track_id for event in events}) == len(starts) == len(ends) == faces
    if faces == 2:
        assert ends[0].mono_ns < starts[1].mono_ns


def loss_message(times_s: list[float], damage_before: set[int]) -> str:
    losses = Losses(1 / FPS)
    bad = 0
    for number, time_s in enumerate(times_s):
        bad += number in damage_before
        losses.frame(bad, time_s)
    return losses.summary()


def test_holes_side_by_side_are_one_place() -> None:
    """As a transport stream leaves them, which goes on between two damaged parts for a few frames."""
    times = [n / FPS for n in [*range(20), 30, 31, 32, 50, 51, *range(60, 80)]]
    assert loss_message(times, {20, 23, 25}) == (
        "35 frames could not be decoded and were left out: nothing from 0.8 to 2.4 s but for 5 frames"
    )


def test_many_places_are_a_few_and_a_number() -> None:
    times = [n / FPS for block in range(9) for n in range(30 * block, 30 * block + 20)]
    message = loss_message(times, {20 * block for block in range(1, 9)})
    assert message.endswith("from 0.8 to 1.2 s, from 2.0 to 2.4 s, from 3.2 to 3.6 s and 5 more")


def test_one_frame_is_told_as_one() -> None:
    assert (
        loss_message([0.0, 0.04, 0.12], {2})
        == "1 frame could not be decoded and was left out: nothing from 0.0 to 0.1 s"
    )


def test_a_time_lapse_film_has_no_holes(astronaut: Image) -> None:
    pipeline = Pipeline(msgspec.structs.replace(Config(), tracking=Tracking(keep_seconds=KEEP_SECONDS)))
    events = [
        event for second in range(0, 30, 3) for event in pipeline.step(frame_of(astronaut, seconds=second)).events
    ]
    assert [event.event_type for event in events if event.event_type is not EventType.UPDATE] == [EventType.START]
