"""`fer-edge analyze` on the command line."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from threading import Event

from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.arguments import seconds
from fer_edge.commands.camera_options import add_camera_argument, chosen_camera
from fer_edge.config import Config

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

EXAMPLES = """\
Examples:
  fer-edge analyze clip.mp4 --jsonl faces.jsonl
  fer-edge analyze clip.mp4 --video marked.mp4 --report clip.html
  fer-edge analyze clip.mp4 --video marked.mp4 --report clip.html --resume    after Ctrl-C, a crash or a full disk
  fer-edge analyze holiday/ --still --draw marked/
  fer-edge analyze clip.mp4 --camera front --events -    with section cameras: with the zones and the region of this one
Boxes and landmarks are pixels of the frame whose width and height the line gives. docs/analyze.md has every column.
Ctrl-C leaves complete files of what was read (exit code 130). With --resume and otherwise the same options they are in
the end what an uninterrupted run writes, byte for byte, on the same machine with the same libraries; after kill -9 too.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is read, and what is written."""
    parser.add_argument("source", nargs="+", help="picture, folder of pictures, video file, URL, or 'demo'")
    parser.add_argument(
        "--jsonl",
        metavar="OUT",
        help="a JSON line for each frame (default: to standard output, if nothing else is asked)",
    )
    parser.add_argument("--csv", metavar="OUT", help="a row for each face in each frame")
    parser.add_argument("--parquet", metavar="OUT", type=Path, help="the same rows, typed")
    parser.add_argument(
        "--events", metavar="OUT", help="a JSON line for each event, as over MQTT, with the film's time"
    )
    parser.add_argument("--video", metavar="OUT.mp4", type=Path, help="the film with its faces marked, H.264; no sound")
    parser.add_argument("--report", metavar="OUT.html", type=Path, help="one page about all sources, for people")
    parser.add_argument("--draw", metavar="FOLDER", type=Path, help="each picture with its faces marked, as JPEG")
    parser.add_argument("--still", action="store_true", help="every picture stands for itself: no tracking, no events")
    parser.add_argument("--resume", action="store_true", help="resume an interrupted run")
    add_camera_argument(
        parser, "with the zones, the region and the device id of this one, where the configuration has section cameras"
    )
    parser.add_argument(
        "--save-every", dest="save_seconds", metavar="SECONDS", type=seconds, default=10.0,
        help="what a killed run may lose of its time (default: %(default)g)",
    )  # fmt: skip


def run(config: Config, options: argparse.Namespace) -> int:
    """Analyse; a first signal ends with complete files, a second one at once."""
    stop, own = Event(), chosen_camera(config, options.camera)

    def on_stop(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)  # who asks twice does not want to wait

    before = {number: signal.signal(number, on_stop) for number in STOP_SIGNALS}
    names = ("jsonl", "csv", "parquet", "events", "video", "report", "draw", "still", "resume", "save_seconds")
    wanted = AnalyzeOptions(sources=options.source, **{name: getattr(options, name) for name in names})
    try:
        return 1 if analyze(own, wanted, stop) else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
