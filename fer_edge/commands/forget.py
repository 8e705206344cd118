"""`fer-edge forget`: remove what a broker and Home Assistant keep of a device that is gone."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Callable
from contextlib import closing, suppress

from fer_edge.commands.broker_options import add_broker_arguments, check_device, chosen_broker
from fer_edge.commands.camera_options import add_camera_argument, camera_configs, only_one_given
from fer_edge.config import Config, Mqtt
from fer_edge.errors import SinkError
from fer_edge.instance import SERVICE_FOLDER, device_id, is_running, state_folder
from fer_edge.sinks.mqtt.broker import LinkError, broker_of
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.retained import PUBLISHED_FILE
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, delete_pictures

EXAMPLES = """\
Examples:
  fer-edge forget                        this machine's device, before it is given away
  fer-edge forget kitchen                one that is gone for good, from any machine
  fer-edge forget kitchen --host mybroker.local
  fer-edge forget --pictures             the pictures at events that this machine keeps, and nothing else
Its retained topics and its entities in Home Assistant go. A daemon that runs would bring them back: stop it first.
"""

CONNECT_SECONDS = 5.0
QUIET_SECONDS = 1.0
"""A broker sends what it keeps at once; after so long without a message there is no more."""

ANSWER_SECONDS = 10.0
REMOVE_SECONDS = 2.0  # for Home Assistant to let go of the entities before the values go that they read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which device, and where."""
    parser.add_argument(
        "device",
        nargs="?",
        metavar="DEVICE",
        help="its device id (default: this machine's; with cameras, each of them)",
    )
    parser.add_argument("--pictures", action="store_true", help="delete its pictures here instead; it may be running")
    add_camera_argument(parser, "only this one, where the configuration has section cameras (default: all of them)")
    add_broker_arguments(parser)


def run(config: Config, options: argparse.Namespace) -> int:
    """Forget it, and say how much that was."""
    if options.device and options.camera is not None:
        raise only_one_given(options.device, options.camera)
    if options.device:
        check_device(options.device, command="forget")
    for device in [options.device] if options.device else devices_of(config, options.camera):
        if options.pictures:
            print(forget_pictures(config, device))  # noqa: T201 - this is the output
        else:
            _forget(config, options, device)
    return 0


def devices_of(config: Config, camera: str | None) -> list[str]:
    """The device ids of this machine's daemon: with several cameras each has its own, below the daemon's, and one may
    be chosen."""
    found = [device_id(each) for each in camera_configs(config, camera).values()]
    return found if camera is not None else list(dict.fromkeys([*found, device_id(config)]))


def _forget(config: Config, options: argparse.Namespace, device: str) -> None:
    mqtt = chosen_broker(config, options, command="forget")
    removed = forget(mqtt, device, prefix=config.homeassistant.prefix)
    with suppress(OSError):  # it is the service's: then its next start removes the topics again, which does no harm
        state_folder(config, device).joinpath(PUBLISHED_FILE).unlink(missing_ok=True)
    found = "nothing was kept of it" if not removed else f"topics removed: {removed}"
    print(f"{device} at {mqtt.broker}:{mqtt.port}: {found}")  # noqa: T201 - this is the output


def forget_pictures(config: Config, device: str) -> str:
    """Delete the pictures at events that this machine keeps of a device, the service's too. What was done, in words.

    Raises:
        SinkError: they cannot be deleted.

    """
    own, service = state_folder(config, device) / PICTURES_FOLDER, SERVICE_FOLDER / device / PICTURES_FOLDER
    folders = [own] if config.state.folder else list(dict.fromkeys((own, service)))
    deleted = 0
    for folder in folders:
        try:
            deleted += delete_pictures(folder)
        except PermissionError:
            what = f"{folder}: the pictures there belong to another user, such as the service"
            raise SinkError(f"{what}; run the same command with sudo") from None
        except OSError as error:
            raise SinkError(f"{folder}: cannot delete the pictures there: {error.strerror}") from None
    return f"{device}: " + (f"pictures deleted: {deleted}" if deleted else f"no pictures in {folders[0]}")


def forget(mqtt: Mqtt, device: str, *, prefix: str) -> int:
    """Remove the retained topics of a device. Returns how many there were.

    Raises:
        SinkError: its daemon runs, or the broker cannot be reached or refuses us.
        ConfigError: the password file cannot be read.

    """
    running = f"the daemon of {device} runs, and would publish it again; stop it first"
    if is_running(device):
        raise SinkError(running)
    base = f"{mqtt.topic}/{device}"
    try:
        with closing(_Remover(mqtt, device)) as remover:
            found = remover.kept(base, prefix)
            if found.get(f"{base}/availability") == b"online":
                raise SinkError(running)
            entities = {topic for topic in found if topic.startswith(f"{prefix}/")}
            remover.remove(entities)
            if entities:
                remover.wait(lambda: False, REMOVE_SECONDS)
            remover.remove(found.keys() - entities)
    except LinkError as error:
        raise SinkError(f"MQTT broker {mqtt.broker}:{mqtt.port}: {error}") from None
    return len(found)


class _Remover:
    """One connection, for one device."""

    def __init__(self, mqtt: Mqtt, device: str) -> None:
        self._device = device
        self._found: dict[str, bytes] = {}
        self._heard = time.monotonic()
        self._waiting: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        self._link = Connection(
            broker_of(mqtt),
            f"fer-edge-forget-{secrets.token_hex(4)}",
            on_ack=self._acknowledge,
            on_message=self._receive,
        )
        self._link.connect(CONNECT_SECONDS)

    def close(self) -> None:
        self._link.close()

    def kept(self, base: str, prefix: str) -> dict[str, bytes]:
        """What the broker keeps of the device, by topic."""
        self._prefix, node = prefix, f"fer-edge-{self._device}"
        self._link.subscribe([f"{base}/#"])
        self._link.subscribe([f"{prefix}/device/{node}/config", f"{prefix}/+/{node}/+/config"], needed=False)
        self._heard = time.monotonic()
        self.wait(lambda: time.monotonic() - self._heard > QUIET_SECONDS, ANSWER_SECONDS)
        if self._found:  # who may write there may not always read
            self._found.setdefault(f"{prefix}/device/{node}/config", b"")
        return self._found

    def remove(self, topics: set[str]) -> None:
        """Remove these, and wait until the broker has done so."""
        for topic in sorted(topics):
            self._waiting[self._link.publish(Message(topic, b"", retain=True))] = topic
        if not self.wait(lambda: not self._waiting, ANSWER_SECONDS):
            raise LinkError("it did not acknowledge in time; try again")
        if self._refused:
            topic, why = next(iter(self._refused.items()))
            raise LinkError(
                f"it does not let this user remove {topic} ({why}); use a user who may write there (--username)"
            )

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Until the condition holds, at most so long. Whether it does."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self._link.poll(min(0.1, max(0.0, end - time.monotonic())))
        return condition()

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained and payload and (not topic.startswith(f"{self._prefix}/") or _is_ours(payload)):
            self._found[topic] = payload
            self._heard = time.monotonic()

    def _acknowledge(self, number: int, refusal: str | None) -> None:
        topic = self._waiting.pop(number, None)
        if topic and refusal:
            self._refused[topic] = refusal


def _is_ours(payload: bytes) -> bool:
    """Whether an entity was described by fer-edge."""
    try:
        described = json.loads(payload)
        return bool((described.get("o") or described.get("origin"))["name"] == "fer-edge")
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
