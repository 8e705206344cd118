"""`fer-edge watch` on the command line."""

from __future__ import annotations

import argparse
import sys

from fer_edge.commands.arguments import seconds
from fer_edge.commands.broker_options import add_broker_arguments, chosen_broker
from fer_edge.commands.camera_options import add_camera_argument, chosen_camera
from fer_edge.commands.forget import forget
from fer_edge.commands.watch import watch
from fer_edge.commands.watch.view import WatchOptions
from fer_edge.config import Config
from fer_edge.instance import device_id

EXAMPLES = """\
Examples:
  fer-edge watch --host mybroker.local   live, on a terminal
  fer-edge watch --lines | tee today.log
  fer-edge watch --json | jq .expression
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `watch`; the configuration's mqtt section has the defaults."""
    add_broker_arguments(parser)
    parser.add_argument("--device", default="+", help="only this device id (default: all)")
    add_camera_argument(parser)
    parser.add_argument("--lines", action="store_true", help="one line an event, as where the output is no terminal")
    parser.add_argument("--json", action="store_true", help="print the messages as they are, for pipes")
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--until-offline", action="store_true", help="stop when the device goes offline")


def run(config: Config, options: argparse.Namespace) -> int:
    """Watch what was asked for; the configuration says the rest."""
    device = options.device if options.camera is None else device_id(chosen_camera(config, options.camera))
    mqtt = chosen_broker(config, options, command="watch", device=None if device == "+" else device)
    watch(
        WatchOptions(
            mqtt=mqtt,
            device=device,
            live=sys.stdout.isatty() and not (options.json or options.lines),
            json=options.json,
            for_seconds=options.seconds,
            until_offline=options.until_offline,
            forget=lambda device: forget(mqtt, device, prefix=config.homeassistant.prefix),
        )
    )
    return 0
