"""The arguments of commands that speak to a broker; the configuration's mqtt section has the defaults."""

from __future__ import annotations

import argparse
import re
from typing import Any

import msgspec

from fer_edge.config import IN_WORDS, NAME, Config, Mqtt
from fer_edge.errors import ConfigError
from fer_edge.settings.loader import expected, show


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """The broker's address and our credentials."""
    parser.add_argument("--host", help="broker (default: mqtt.broker of the configuration)")
    parser.add_argument("--port", type=int, help="its port")
    parser.add_argument("--topic", help="first part of the topics")
    parser.add_argument("--username", help="user name at the broker")
    parser.add_argument("--password-file", metavar="FILE", help="file that holds the password")
    parser.add_argument("--tls", action="store_true", help="connect with TLS")
    parser.add_argument("--ca-file", metavar="FILE", help="trust this CA instead of the system's")


def chosen_broker(config: Config, options: argparse.Namespace, *, command: str, device: str | None = None) -> Mqtt:
    """Section mqtt with the arguments in it; `device`: see `check_device`.

    Raises:
        ConfigError: an argument is wrong.

    """
    if device is not None:
        check_device(device, command=command)
    given = {name: getattr(options, name) for name in ("port", "topic", "username", "password_file", "ca_file")}
    changes = {name: value for name, value in given.items() if value is not None}
    host = options.host or ("127.0.0.1" if config.mqtt.broker == "embedded" else config.mqtt.broker)
    changes |= {"broker": host, "tls": options.tls or config.mqtt.tls}
    if config.mqtt.version == "auto":  # to ask for 5 first costs seconds where a broker, as the embedded one, is silent
        changes["version"] = "3.1.1"
    types = {field.name: field.type for field in msgspec.structs.fields(Mqtt)}
    for name, value in changes.items():
        _check_option(name, value, types[name], command=command)
    return msgspec.structs.replace(config.mqtt, **changes)


def check_device(device: str, *, command: str) -> None:
    """Raises ConfigError where this is no device id: it stands in topics and names of folders."""
    if not re.fullmatch(NAME, device):
        raise ConfigError(f"{command}: device {show(device)}: expected {IN_WORDS[NAME]}")


def _check_option(name: str, value: Any, kind: Any, *, command: str) -> None:
    """Raises ConfigError where an argument is no value of its key in section mqtt."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        option = "--host" if name == "broker" else f"--{name.replace('_', '-')}"
        what = f"{expected(error, kind, value)}, got {show(value)}"
        raise ConfigError(f"{command}: {option}: {what}; see fer-edge {command} --help") from None
