"""`fer-edge bench` on the command line."""

from __future__ import annotations

import argparse

from fer_edge.commands.arguments import positive, whole_seconds
from fer_edge.commands.bench.measure import bench, bench_models
from fer_edge.commands.bench.report import report
from fer_edge.commands.camera_options import add_camera_argument, camera_configs, chosen_camera
from fer_edge.config import Config
from fer_edge.errors import ConfigError

EXAMPLES = """\
Examples:
  fer-edge bench
  fer-edge bench clip.mp4 --frames 100 --json
  fer-edge bench --models                MACs, parameters, bytes and ms of each model, at its card's input size
  fer-edge bench --report                all about this board's speed as one text to send: fer-edge-report.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is measured, and how it is printed."""
    parser.add_argument("source", nargs="?", default="demo", help="what to process (default: the built-in demo)")
    parser.add_argument("--frames", type=positive, default=300, help="frames to measure (default: %(default)s)")
    parser.add_argument("--models", action="store_true", help="measure each model alone instead: MACs, bytes, ms")
    add_camera_argument(parser, "with the region, zones and pauses of this one (default: what all have in common)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--report",
        nargs="?",
        const="fer-edge-report.md",
        metavar="FILE",
        help="write everything about this board's speed as one text to send, without personal data; - for standard "
        "output (default: %(const)s)",
    )
    parser.add_argument(
        "--seconds",
        type=whole_seconds,
        default=60,
        help="with --report: how long to run without a pause, to see "
        "whether heat slows it down; 0: not at all (default: %(default)s)",
    )


def run(config: Config, options: argparse.Namespace) -> int:
    """Measure what was requested. Raises ConfigError for options that exclude each other."""
    which = options.camera or ("all cameras" if len(camera_configs(config)) > 1 else None)
    config = config if options.camera is None else chosen_camera(config, options.camera)
    if options.report:
        if options.source != "demo" or options.models or options.json:
            raise ConfigError(
                "bench: --report measures the demo, the same on every board; expected no other source, "
                "no --models and no --json beside it"
            )
        report(config, options.report, frames=options.frames, seconds=options.seconds)
    elif options.models:
        bench_models(config, as_json=options.json)
    else:
        bench(config, options.source, frames=options.frames, as_json=options.json, camera=which)
    return 0
