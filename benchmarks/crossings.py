"""Whether faces keep their ids where people cross: made-up crossings of the package's two portraits, one face in front
of the other, at several sizes, speeds, angles and distances.

    python benchmarks/crossings.py [--fps 15] [--json]

A crossing is kept where both faces leave it with the ids that they had. A switch: a face has another id than when it
was last seen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Frame, Image, Track

WIDTH, HEIGHT = 640, 480
HEADS = {"astronaut": (230, 115, 85), "grace_hopper": (257, 165, 105)}
"""Of each portrait: the middle of the face and half the head's height, in px."""
LEAST_SHOWN = 0.6  # of a face: less is hidden, and no id is asked for


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two heads that pass each other."""

    height: int  # of the head in front, px
    speed: int  # of each, px a second
    angle: int  # degrees between their ways and the horizontal
    behind: float  # size of the other by that of the one in front
    pause: float  # seconds that both stand still in the middle
    swapped: bool  # which portrait is in front


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a crossing."""

    kept: bool
    switches: int
    ids: int  # faces were told of; 2 is right


def crossings() -> list[Crossing]:
    """All that are tried."""
    each = itertools.product((90, 150), (80, 160, 320), (0, 25), (1.0, 0.75), (0.0, 0.6), (False, True))
    return [Crossing(*values) for values in each]


def portrait(name: str, height: int) -> tuple[Image, np.ndarray[tuple[int, int, int], np.dtype[np.float32]]]:
    """A head of this height, and how much of each pixel is head."""
    x, y, half = HEADS[name]
    picture = read_picture(PICTURES / f"{name}.jpg")
    cut = picture[max(0, y - half) : y + half, max(0, x - half) : x + half]
    size = (round(cut.shape[1] * height / cut.shape[0]), height)
    head = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    mask = np.zeros((height, size[0], 1), np.float32)
    cv2.ellipse(mask, ((size[0] / 2, height / 2), (size[0] * 0.8, height * 0.98), 0), 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), height / 60)
    return np.asarray(head, np.uint8), np.asarray(soft, np.float32).reshape(height, size[0], 1)


def places(crossing: Crossing, fps: float) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The middles of both heads, the one behind first, frame by frame."""
    way = WIDTH - 1.4 * crossing.height
    seconds = way / crossing.speed
    slope = math.tan(math.radians(crossing.angle))
    for number in range(round((seconds + crossing.pause) * fps)):
        now = number / fps
        moved = min(now, seconds / 2) + max(0.0, now - seconds / 2 - crossing.pause)
        x = (moved / seconds - 0.5) * way
        limit = (HEIGHT - crossing.height) / 2 - 5
        y = max(-limit, min(limit, x * slope))
        yield (WIDTH / 2 + x, HEIGHT / 2 + y), (WIDTH / 2 - x, HEIGHT / 2 - y)


def film(crossing: Crossing, fps: float) -> Iterator[tuple[Image, list[Box], float]]:
    """Pictures, the true boxes of both heads, and how much of the one behind is seen."""
    names = list(HEADS)[:: -1 if crossing.swapped else 1]
    heads = [portrait(names[0], round(crossing.height * crossing.behind)), portrait(names[1], crossing.height)]
    rng = np.random.default_rng(3)
    wall = cv2.GaussianBlur(rng.integers(60, 190, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 12)
    for both in places(crossing, fps):
        picture = wall.astype(np.float32)
        boxes = [paste(picture, *head, place) for head, place in zip(heads, both, strict=True)]
        shown = 1 - overlap(boxes[0], boxes[1])
        yield np.clip(picture, 0, 255).astype(np.uint8), boxes, shown


def paste(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    head: Image,
    mask: np.ndarray[tuple[int, int, int], np.dtype[np.float32]],
    middle: tuple[float, float],
) -> Box:
    """Put a head into a picture; returns its box."""
    height, width = head.shape[:2]
    x, y = round(middle[0] - width / 2), round(middle[1] - height / 2)
    x0, y0, x1, y1 = max(0, x), max(0, y), min(WIDTH, x + width), min(HEIGHT, y + height)
    part = picture[y0:y1, x0:x1]
    cut = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    part += (head[cut].astype(np.float32) - part) * mask[cut]
    return Box(x0, y0, x1, y1)


def overlap(one: Box, other: Box) -> float:
    """Share of the first that the other covers."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height) / (one.width * one.height)


def owner(box: Box, tracks: Sequence[Track]) -> int | None:
    """The id of the face that is seen where a head is."""
    x, y = box.center
    near = [
        (math.hypot(track.box.center[0] - x, track.box.center[1] - y), track.id) for track in tracks if not track.misses
    ]
    best = min(near, default=(math.inf, 0))
    return best[1] if best[0] < box.height / 3 else None


def outcome(pipeline: Pipeline, crossing: Crossing, fps: float) -> Outcome:
    """Run one crossing."""
    pipeline.reset()
    last: list[int | None] = [None, None]
    first: list[int | None] = [None, None]
    switches, ids = 0, set()
    for number, (picture, boxes, shown) in enumerate(film(crossing, fps)):
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        tracks = pipeline.step(Frame(number, round(number / fps * 1e9), picture, gray)).tracks
        ids |= {track.id for track in tracks}
        for index in (0, 1):
            if (index == 0 and shown < LEAST_SHOWN) or (now := owner(boxes[index], tracks)) is None:
                continue
            switches += last[index] not in (None, now)
            first[index] = first[index] or now
            last[index] = now
    return Outcome(first == last and None not in last, switches, len(ids))


def main() -> None:
    """Run all crossings and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--json", action="store_true", help="a line for each crossing instead")
    options = parser.parse_args()
    pipeline = Pipeline(Config())
    found = [(each, outcome(pipeline, each, options.fps)) for each in crossings()]
    print("\n".join(_lines(found) if options.json else table(found)))


def _lines(found: Sequence[tuple[Crossing, Outcome]]) -> Iterator[str]:
    for crossing, result in found:
        yield json.dumps(asdict(crossing) | asdict(result))


def table(found: Sequence[tuple[Crossing, Outcome]]) -> Iterator[str]:
    """How many are kept, of each kind and of all."""
    for name in ("height", "speed", "angle", "behind", "pause"):
        for value in sorted({getattr(each, name) for each, _ in found}):
            some = [result for each, result in found if getattr(each, name) == value]
            yield f"{name:7} {value:5}: {sum(each.kept for each in some):3} of {len(some)} kept"
    kept, switches = sum(result.kept for _, result in found), sum(result.switches for _, result in found)
    yield f"{kept} of {len(found)} crossings kept, {switches} switches, {sum(r.ids for _, r in found)} ids"


if __name__ == "__main__":
    main()
