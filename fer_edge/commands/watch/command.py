"""`fer-edge watch` on the command line."""

from __future__ import annotations

import argparse
import sys

from fer_edge.commands.arguments import seconds
from fer_edge.commands.broker_options import add_broker_arguments, chosen_broker
from fer_edge.commands.camera_options import add_camera_argument, chosen_camera, only_one_given
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

ALL = "+"
"""The topic filter for every device."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `watch`; the configuration's mqtt section has the defaults."""
    add_broker_arguments(parser)
    parser.add_argument("--device", help="only this device id (default: all)")
    add_camera_argument(parser, "only this one, where the configuration has section cameras (default: all of them)")
    parser.add_argument("--lines", action="store_true", help="one line an event, as where the output is no terminal")
    parser.add_argument("--json", action="store_true", help="print the messages as they are, for pipes")
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--until-offline", action="store_true", help="stop when the device goes offline")


def run(config: Config, options: argparse.Namespace) -> int:
    """Watch what was requested; the configuration has the rest."""
    device = _device(config, options)
    mqtt = chosen_broker(config, options, command="watch", device=None if device == ALL else device)
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


def _device(config: Config, options: argparse.Namespace) -> str:
    """The device that was asked for, by its id or its camera; else all."""
    if options.camera is None:
        return options.device or ALL
    if options.device:
        raise only_one_given(f"--device {options.device}", options.camera)
    return device_id(chosen_camera(config, options.camera))
