"""`fer-edge watch` on the command line."""

from __future__ import annotations

import argparse
import sys

import msgspec

from fer_edge.commands.arguments import seconds
from fer_edge.commands.watch import watch
from fer_edge.commands.watch.view import WatchOptions
from fer_edge.config import Config, Mqtt, Name
from fer_edge.errors import ConfigError

EXAMPLES = """\
Examples:
  fer-edge watch --host mybroker.local   live, on a terminal
  fer-edge watch --lines | tee today.log
  fer-edge watch --json | jq .expression
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `watch` can be told; where it is silent, the configuration's mqtt section answers."""
    parser.add_argument("--host", help="broker (default: mqtt.broker of the configuration)")
    parser.add_argument("--port", type=int, help="its port")
    parser.add_argument("--device", default="+", help="only this device id (default: all)")
    parser.add_argument("--topic", help="first part of the topics")
    parser.add_argument("--username", help="user name at the broker")
    parser.add_argument("--password-file", metavar="FILE", help="file that holds the password")
    parser.add_argument("--tls", action="store_true", help="connect with TLS")
    parser.add_argument("--ca-file", metavar="FILE", help="trust this CA instead of the system's")
    parser.add_argument("--lines", action="store_true", help="one line an event, as where the output is no terminal")
    parser.add_argument("--json", action="store_true", help="print the messages as they are, for pipes")
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--until-offline", action="store_true", help="stop when the device goes offline")


def run(config: Config, options: argparse.Namespace) -> int:
    """Watch what was asked for; the configuration says the rest."""
    given = {name: getattr(options, name) for name in ("port", "topic", "username", "password_file", "ca_file")}
    changes = {name: value for name, value in given.items() if value is not None}
    host = options.host or ("127.0.0.1" if config.mqtt.broker == "embedded" else config.mqtt.broker)
    changes |= {"broker": host, "tls": options.tls or config.mqtt.tls}
    if config.mqtt.version == "auto":  # to ask for 5 first costs seconds where a broker, as the embedded one, is silent
        changes["version"] = "3.1.1"
    try:
        if options.device != "+":
            msgspec.convert(options.device, Name)
        mqtt = msgspec.convert(msgspec.to_builtins(config.mqtt) | changes, Mqtt)
    except msgspec.ValidationError as error:
        raise ConfigError(f"watch: an option is wrong: {error}; see fer-edge watch --help") from None
    watch(
        WatchOptions(
            mqtt=mqtt,
            device=options.device,
            live=sys.stdout.isatty() and not (options.json or options.lines),
            json=options.json,
            for_seconds=options.seconds,
            until_offline=options.until_offline,
        )
    )
    return 0
