"""What a whole step costs per frame on real clips, beside peers; whether faces are found and labels stay calm.

    python benchmarks/clips.py --clips FOLDER [--yunet face_detection_yunet.onnx] [--json]

Every frame goes through every candidate in turn, on one core and one thread, decoding not counted; so noise of the
machine meets all alike. A clip's figure is its mean ms per frame; the table gives the median over clips.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
from peers import MeshPeer, YunetPeer

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera, Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame
from fer_edge.runtime.meter import rss_mb

SUFFIXES = {".avi", ".gif", ".mkv", ".mp4"}
FACES = {"face-demographics-walking-and-pause": 3}
"""How many people a clip shows, counted by eye; one where it is not named. All are in view in every frame."""

Step = Callable[[Frame], object]


@dataclass
class Clip:
    """The figures of one clip."""

    name: str
    faces: int
    frames: int = 0
    found: float = 0.0  # share of face appearances that were found
    flips: float = 0.0  # changes of the reported label / frames, per face
    ids: int = 0
    mean_ms: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Run every clip and print the figures."""
    options = _options()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    pipeline = Pipeline(Config())
    memory = rss_mb()
    peers: dict[str, Step] = {MeshPeer.name: MeshPeer()}
    if options.yunet:
        peers[YunetPeer.name] = YunetPeer(options.yunet)
    paths = sorted(path for path in options.clips.iterdir() if path.suffix in SUFFIXES)
    if not paths:
        raise SystemExit(f"{options.clips}: expected films ({', '.join(sorted(SUFFIXES))}), found none")
    clips = [measure(path, pipeline, peers) for path in paths]
    if options.json:
        print(json.dumps({"clips": [asdict(clip) for clip in clips], "rss_after_loading_mb": round(memory, 1)}))
    else:
        _print(clips, memory)


def measure(path: Path, pipeline: Pipeline, peers: dict[str, Step]) -> Clip:
    """One clip through all candidates."""
    pipeline.reset()
    clip = Clip(path.stem, FACES.get(path.stem, 1))
    spent: dict[str, list[float]] = {"fer-edge": [], **{name: [] for name in peers}}
    seen, flips, labels, ids = 0, 0, dict[int, str | None](), set[int]()
    for frame in frames(path):
        begun = time.perf_counter()
        update = pipeline.step(frame)
        spent["fer-edge"].append(time.perf_counter() - begun)
        for name, peer in peers.items():
            begun = time.perf_counter()
            peer(frame)
            spent[name].append(time.perf_counter() - begun)
        clip.frames += 1
        here = {track.id for track in update.tracks if not track.misses}
        seen, ids = seen + min(len(here), clip.faces), ids | here
        shown = {face.track.id: face.expression for face in update.faces}
        flips += sum(label != labels.get(id_, label) for id_, label in shown.items())
        labels |= shown
    clip.found, clip.flips = seen / (clip.frames * clip.faces), flips / (clip.frames * clip.faces)
    clip.ids = len(ids)
    clip.mean_ms = {name: 1e3 * statistics.mean(values) for name, values in spent.items()}
    return clip


def frames(path: Path) -> Iterator[Frame]:
    """The frames of a film."""
    camera = StreamCamera(Camera(backend="stream", source=str(path), pace="max"))
    camera.open()
    while (frame := camera.read()) is not None:
        yield frame
    camera.close()


def _print(clips: list[Clip], memory: float) -> None:
    names = list(clips[0].mean_ms)
    print(f"{'clip':36} faces frames  found  flips ids " + " ".join(f"{name:>23}" for name in names))
    for clip in clips:
        times = " ".join(f"{clip.mean_ms[name]:20.2f} ms" for name in names)
        counts = f"{clip.faces:5} {clip.frames:6} {clip.found:6.1%} {clip.flips:6.2%} {clip.ids:3}"
        print(f"{clip.name[:36]:36} {counts} {times}")
    for faces in sorted({clip.faces for clip in clips}):
        alike = [clip for clip in clips if clip.faces == faces]
        medians = {name: statistics.median(clip.mean_ms[name] for clip in alike) for name in names}
        reported = ", ".join(f"{name} {ms:.2f} ms ({ms / medians['fer-edge']:.1f}x)" for name, ms in medians.items())
        print(f"{faces} face(s), median of {len(alike)} clips: {reported}")
    total = sum(clip.frames for clip in clips)
    found = sum(clip.found * clip.frames for clip in clips) / total
    flips = sum(clip.flips * clip.frames for clip in clips) / total
    print(f"all {total} frames: found {found:.2%}, label flips on {flips:.2%}; {memory:.0f} MB resident after loading")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of films")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file (OpenCV Zoo), to add that peer")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
