"""What the signals and zones cost a face and frame: `python -m benchmarks.signals`.

Each alone, then all of them; the model for intensities, which some take, is not in it (`fer-edge bench --models`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import cv2
import msgspec
import numpy as np

from fer_edge.camera.replay import PICTURES
from fer_edge.config import Config, Zone
from fer_edge.pipeline import Pipeline
from fer_edge.records import EyeTurn, Image, Intensities, Landmarks
from fer_edge.tracking.signals import SIGNALS, SignalReader, enabled_signals
from fer_edge.tracking.zones import ZoneMap
from fer_edge.vision.iris import IrisReader
from tests.support.faces_over_time import EVERY_SIGNAL, SECOND, Shown, Story
from tests.support.samples import frame_of

FRAMES = 20_000
FPS = 15
NAMES = ("smile", "brow_raise", "jaw_open", "eye_closed_left", "eye_closed_right")
FOUR_ZONES = {
    name: Zone(points=((x, y), (x + 0.5, y), (x + 0.5, y + 0.5), (x, y + 0.5)))
    for name, x, y in (("a", 0.0, 0.0), ("b", 0.5, 0.0), ("c", 0.0, 0.5), ("d", 0.5, 0.5))
}


def main() -> None:
    """Follow one face through many frames."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, step in _steps():
        begin = time.process_time()
        for frame in range(FRAMES):
            step(frame)
        print(f"{name:<36} {(time.process_time() - begin) / FRAMES * 1e3:.4f} ms a face and frame")


def _steps() -> Iterator[tuple[str, Callable[[int], object]]]:
    for name, signal in SIGNALS.items():
        yield name, _follower([signal])
    yield f"all {len(SIGNALS)} signals", _follower(enabled_signals(EVERY_SIGNAL))
    zones, box = ZoneMap(FOUR_ZONES), _story().tracks[0].box
    face, irises = _face(), IrisReader(EVERY_SIGNAL.attention.min_eye_px)
    yield "irises of a face", lambda _: irises(*face)
    yield "four zones", lambda _: zones.around(box, (640, 480), before=("a",))


def _face() -> tuple[Image, Landmarks]:
    """A gray picture and the landmarks of its face."""
    image = cv2.imread(str(PICTURES / "astronaut.jpg"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    frame = frame_of(np.repeat(np.asarray(image, np.uint8)[:, :, None], 3, axis=2))
    return frame.gray, Pipeline(Config()).step(frame).tracks[0].landmarks


def _story() -> Story:
    story = Story(msgspec.structs.replace(EVERY_SIGNAL))
    values = Intensities(NAMES, np.full(len(NAMES), 0.2, np.float32))
    story.show(1, Shown(intensities=values, eyes=EyeTurn(3.0, 1.0)))
    return story


def _follower(signals: object) -> Callable[[int], object]:
    reader, track = SignalReader(signals, EVERY_SIGNAL), _story().tracks[0]  # type: ignore[arg-type]
    begin_ns = track.last_ns

    def step(frame: int) -> None:
        nonlocal track
        track = reader(track, begin_ns + (frame + 1) * SECOND // FPS)

    return step


if __name__ == "__main__":
    main()
