"""The arguments of commands that speak to a broker; the configuration's mqtt section has the defaults."""

from __future__ import annotations

import argparse

import msgspec

from fer_edge.config import Config, Mqtt, Name
from fer_edge.errors import ConfigError


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
    """Section mqtt with the arguments in it; `device` must be a device id.

    Raises:
        ConfigError: an argument is wrong.

    """
    given = {name: getattr(options, name) for name in ("port", "topic", "username", "password_file", "ca_file")}
    changes = {name: value for name, value in given.items() if value is not None}
    host = options.host or ("127.0.0.1" if config.mqtt.broker == "embedded" else config.mqtt.broker)
    changes |= {"broker": host, "tls": options.tls or config.mqtt.tls}
    if config.mqtt.version == "auto":  # to ask for 5 first costs seconds where a broker, as the embedded one, is silent
        changes["version"] = "3.1.1"
    try:
        if device is not None:
            msgspec.convert(device, Name)
        return msgspec.convert(msgspec.to_builtins(config.mqtt) | changes, Mqtt)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{command}: an option is wrong: {error}; see fer-edge {command} --help") from None
