"""`fer-edge tune` on the command line."""

from __future__ import annotations

import argparse

from fer_edge.commands.arguments import LOCAL_CONFIG, seconds
from fer_edge.commands.camera_options import add_camera_argument, chosen_camera
from fer_edge.commands.tune.compare import TuneOptions, tune
from fer_edge.config import Config

EXAMPLES = """\
Examples:
  fer-edge tune clip.mp4 -c config.yaml                           with a few presets
  fer-edge tune clip.mp4 --try events.enter=0.6 --try "events.enter=0.7 events.leave=0.5"
  fer-edge tune live --for 120                                    what the configured camera sees
  fer-edge tune clip.mp4 -c config.yaml --write calmer
Whatever `set/` takes over MQTT may be tried. Flips: an expression left and taken up again within three seconds.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is played, and what is tried."""
    parser.add_argument("source", help="what analyze takes, or 'live': the configured camera")
    parser.add_argument(
        "--try", dest="tries", action="append", default=[], metavar="KEY=VALUE", help="thresholds to try"
    )
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="of the source (live: 60)")
    parser.add_argument("--write", metavar="NAME", help="write this column's thresholds into the configuration")
    add_camera_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(config: Config, options: argparse.Namespace) -> int:
    """Play, compare, and write what was chosen."""
    wanted = TuneOptions(
        source=options.source, tries=options.tries, seconds=options.seconds, json=options.json, write=options.write
    )
    path = None if options.config == LOCAL_CONFIG and not options.config_named else options.config
    tune(chosen_camera(config, options.camera), path, wanted)  # what lies here by chance is not written to
    return 0
