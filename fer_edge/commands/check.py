"""Checks that everything is in order. One line each: what, its state, what to do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.text import Text

from fer_edge.board.health import SINCE_BOOT, read_health
from fer_edge.camera import open_camera, shown
from fer_edge.camera.credentials import holds_password
from fer_edge.commands.camera_options import add_camera_argument, camera_configs
from fer_edge.commands.hanging import print_hanging
from fer_edge.config import Config, Jsonl, Privacy, json_schema
from fer_edge.errors import FerEdgeError, SinkError
from fer_edge.instance import device_id, is_running, lock, state_folder
from fer_edge.pipeline import Pipeline
from fer_edge.runtime.clock import clock_synced
from fer_edge.runtime.count_text import counted
from fer_edge.settings.overrides_file import TUNING_FILE, stored
from fer_edge.sinks.hdmi.sink import HdmiSink
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sinks.mqtt.broker import LinkError, broker_of
from fer_edge.sinks.mqtt.connection import Connection, Will
from fer_edge.sinks.mqtt.embedded import EmbeddedBroker
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, pictures_in
from fer_edge.sinks.web.sink import check_web
from fer_edge.vision.tflite import UNACCELERATED, runtime_name

BROKER_SECONDS = 5.0
EVENT_BYTES = 4096
"""An event with landmarks, the largest of what is not split for a small broker."""

PROBE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    ok: bool
    text: str  # what was found; where it is not ok, what to do about it too
    fatal: bool = True  # False: worth knowing, but the daemon runs


EXAMPLES = """\
Examples:
  fer-edge check -c my.yaml              one line each: ok, warn (it runs all the same) or FAIL, and what to do
  fer-edge check --camera front          with section cameras: what is common, and this camera
  fer-edge check --schema > schema.json  for completion in an editor
"""


class PrintSchema(argparse.Action):
    """`--schema`: print the JSON Schema of config.yaml and exit; no configuration is read for that."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and stop."""
        sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What else it can print."""
    parser.add_argument("--schema", action=PrintSchema, nargs=0, help="print the JSON Schema of config.yaml and exit")
    add_camera_argument(parser, "only this one, where the configuration has section cameras (default: all of them)")


def run(config: Config, options: argparse.Namespace) -> int:
    """Check what the configuration names."""
    return check(config, options.config, options.config_note, camera=options.camera)


def check(config: Config, path: Path | None, note: str | None = None, *, camera: str | None = None) -> int:
    """Print one line per check; 0 where the daemon can run, else 1. `note`: on which configuration this is; `camera`:
    the only one that is checked."""
    console, failed = Console(highlight=False), False
    noted = [("config", Finding(False, note, fatal=False))] if note else []
    for name, finding in chain(findings(config, path, camera), noted):
        color, word = ("green", "ok") if finding.ok else ("red", "FAIL") if finding.fatal else ("yellow", "warn")
        print_hanging(console, Text.assemble((f"{word:4}", color), f" {name:11}"), finding.text)
        failed |= not finding.ok and finding.fatal
    return int(failed)


def findings(config: Config, path: Path | None, camera: str | None = None) -> Iterator[tuple[str, Finding]]:
    """Every check's name and outcome, one after the other: some take seconds."""
    cameras = camera_configs(config, camera)
    file = path or "defaults (no configuration file)"
    yield "config", Finding(True, f"{file}; device id {device_id(config)}; {_purpose(config.privacy)}")
    for name, function, called, own in _checks(config, path, cameras):
        try:
            found = function(own)
        except FerEdgeError as error:
            found = Finding(False, str(error))
        except OSError as error:  # a folder that this user may not look into: the other checks say more
            found = Finding(False, f"{error.filename or 'a file'}: {error.strerror}; check its folder's owner")
        yield name, replace(found, text=f"{called}: {found.text}") if called else found


Check = tuple[str, Callable[[Config], Finding], str, Config]
"""Its name, what does it, and for which camera with which configuration; no camera: for the daemon."""


def _checks(config: Config, path: Path | None, cameras: Mapping[str, Config]) -> Iterator[Check]:
    """Everything that can be checked; where there are several cameras, what each has for itself is checked for each."""

    def each(
        name: str, function: Callable[[Config], Finding], wanted: Callable[[Config], Any] = bool
    ) -> Iterator[Check]:
        return ((name, function, camera, own) for camera, own in cameras.items() if wanted(own))

    yield "models", _models, "", config
    yield from each("settings", _settings)
    yield from each("zones", _zones, lambda own: own.zones)
    yield from each("camera", _camera)
    yield from each("broker", _broker)
    yield from each("display", _display, lambda own: own.hdmi.enabled)
    if config.web.enabled:
        yield "page", _page, "", config
    yield from each("pictures", _pictures, lambda own: own.pictures.enabled)
    yield from each("permissions", _permissions)
    yield from each("secrets", lambda own: _secrets(own, path), lambda own: _secret_files(own, path))
    yield from each("instance", _instance)
    yield "clock", _clock, "", config
    yield "thermal", _thermal, "", config


def _purpose(privacy: Privacy) -> str:
    """What the device is for. Where that is prohibited, config.yaml was refused before."""
    if privacy.purpose is None:
        return "purpose not declared (privacy.purpose)"
    return f"purpose {privacy.purpose}{' for medical or safety reasons' if privacy.medical_or_safety else ''}"


def _models(config: Config) -> Finding:
    models = Pipeline(config).models
    names = ", ".join(model.card.name for model in models)
    text = f"{names} match their cards; {runtime_name(config.models.runtime)}"
    if slow := ", ".join(model.card.name for model in models if not model.accelerated):
        return Finding(False, f"{text}; {slow}: {UNACCELERATED}", fatal=False)
    shares = {model.card.role: model.share for model in models if model.share}
    if not shares:
        return Finding(True, text)
    text += f"; nodes on {config.models.delegate}: {', '.join(f'{role} {part}' for role, part in shares.items())}"
    idle = ", ".join(role for role, part in shares.items() if not part.taken)
    advice = f"; all of {idle} runs on the CPU: use a model compiled for it, or shorten models.delegate_roles"
    return Finding(not idle, text + (advice if idle else ""), fatal=False)


def _settings(config: Config) -> Finding:
    """What was set over MQTT and is in force instead of config.yaml's values."""
    folder = state_folder(config, device_id(config))
    path = folder / TUNING_FILE
    try:
        overrides = stored(path)
    except (OSError, ValueError) as error:
        return Finding(ok=False, text=f"{path}: cannot read what was set over MQTT: {error}", fatal=False)
    listed = ", ".join(f"{key}: {value}" for key, value in overrides.items()) or "nothing"
    return Finding(ok=True, text=f"set over MQTT, instead of config.yaml: {listed}")


def _zones(config: Config) -> Finding:
    """Each zone's share of the picture; one in which no face can be found is worth a warning."""
    left, top, right, bottom = config.detector.region
    zones, outside = [], []
    for name, zone in config.zones.items():
        outline = np.array(zone.points, np.float32)
        zones.append(f"{name} ({cv2.contourArea(outline):.0%} of the picture)")
        (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
        if x1 <= left or x0 >= right or y1 <= top or y0 >= bottom:
            outside.append(name)
    advice = f"; outside detector.region, where no new face is found: {', '.join(outside)}" if outside else ""
    return Finding(not outside, ", ".join(zones) + advice, fatal=False)


def _camera(config: Config) -> Finding:
    with closing(open_camera(config.camera)) as camera:
        frame = camera.read()
    if frame is None:
        return Finding(False, f"{shown(config.camera.source)}: has no frames; choose another camera.source")
    return Finding(True, f"{config.camera.backend} {camera.title} delivers {frame.width}x{frame.height} px")


def _broker(config: Config) -> Finding:
    """As the daemon connects: with its client id and its will, and a message."""
    mqtt = config.mqtt
    if not mqtt.enabled:
        return Finding(True, "MQTT is off (mqtt.enabled)")
    if mqtt.broker == "embedded":
        broker = EmbeddedBroker(mqtt.port)
        broker.start()
        broker.close()
        return Finding(True, f"the embedded broker can listen on 127.0.0.1:{broker.port}")
    target, device = broker_of(mqtt), device_id(config)
    base, refusals = f"{mqtt.topic}/{device}", dict[int, str | None]()
    # with the client id of a daemon that runs we would throw that out
    client = f"fer-edge-check-{device}" if is_running(device) else f"fer-edge-{device}"
    will = None if is_running(device) else Will(f"{base}/availability", b"offline")
    link = Connection(target, client, will=will, on_ack=refusals.__setitem__)
    try:
        link.connect(BROKER_SECONDS)
        found = _not_taken(link, Message(f"{base}/response/check", b"{}"), refusals)
    except LinkError as error:
        # an unavailable broker is no failure of the daemon: events wait for it
        return Finding(False, f"{target}: {error}; check section mqtt", fatal=error.refused)
    finally:
        link.drop()
    text = f"{target} accepted the connection (MQTT {link.version}{', TLS' if mqtt.tls else ''})"
    return Finding(not found, "; ".join([text, *found]), fatal=False)


def _not_taken(link: Connection, message: Message, refusals: dict[int, str | None]) -> list[str]:
    """What the broker rejects, in words. Raises LinkError where it ends the connection."""
    number, end = link.publish(message), time.monotonic() + BROKER_SECONDS
    while number not in refusals and link.acknowledges(message) and time.monotonic() < end:
        link.poll(end - time.monotonic())
    found = link.limits.warnings()
    if refusals.get(number):
        found.append(f"it refuses {message.topic}: {refusals[number]}; allow this user to write there (docs/mqtt.md)")
    if (limit := link.limits.packet_bytes) and limit < EVENT_BYTES:
        found.append(f"it takes messages of {counted(limit, 'byte')} at most, and an event may take {EVENT_BYTES}")
    link.close()
    return found


def _display(config: Config) -> Finding:
    """Never fatal: the daemon waits for a display."""
    try:
        return Finding(True, HdmiSink.check(config.hdmi))
    except SinkError as error:
        return Finding(False, f"{error}; the daemon waits for it", fatal=False)


def _page(config: Config) -> Finding:
    return Finding(True, f"the live page can be at {check_web(config.web)}")


def _pictures(config: Config) -> Finding:
    """How many pictures at events there are, and how many there may be."""
    pictures, folder = config.pictures, state_folder(config, device_id(config)) / PICTURES_FOLDER
    try:
        count = len(pictures_in(folder))
    except OSError as error:
        return Finding(False, f"{folder}: cannot be read: {error.strerror}; check its owner", fatal=False)
    limits = f"{counted(pictures.max_count, 'picture')}, {pictures.max_mb} MB, {counted(pictures.keep_hours, 'hour')}"
    return Finding(True, f"{count} in {folder}; at {', '.join(pictures.at)}; at most {limits}")


def _permissions(config: Config) -> Finding:
    folder = state_folder(config, device_id(config))
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.exists(each))
    costs = "events are queued in memory only, and changes over MQTT are lost at a restart"
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding(ok=False, text=f"{folder} cannot be written ({there}): {costs}; check state.folder", fatal=False)
    if trouble := _unwritable(there):
        return Finding(ok=False, text=f"{there} cannot be written: {trouble}: {costs}; free space there", fatal=False)
    return Finding(ok=True, text=f"{folder} can be written; {_free(there)}{_jsonl(config.jsonl)}")


def _secret_files(config: Config, path: Path | None) -> list[Path]:
    """The files that others have no business to read: config.yaml where it holds a password, or is the service's."""
    mqtt, web = config.mqtt, config.web
    named = (mqtt.password_file, mqtt.key_file, web.token_file if web.enabled else None, config.camera.password_file)
    own = [path] if path and (holds_password(config.camera.source) or path.is_relative_to("/etc")) else []
    return own + [Path(each) for each in named if each]


def _secrets(config: Config, path: Path | None) -> Finding:
    """Never fatal: a file that cannot be read is reported by its user."""
    files = [each for each in _secret_files(config, path) if os.path.exists(each)]
    if wide := [str(each) for each in files if each.stat().st_mode & stat.S_IROTH]:
        advice = f"chmod o-r {shlex.join(wide)}"
        return Finding(False, f"every user of this machine can read {', '.join(wide)}: {advice}", fatal=False)
    if path and holds_password(config.camera.source):
        advice = "put it into camera.password_file, or into the credential camera-password"
        return Finding(False, f"{path} holds a camera's password: {advice} (docs/security.md)", fatal=False)
    return Finding(True, f"no other user can read {', '.join(map(str, files)) or 'what holds secrets'}")


def _unwritable(folder: Path) -> str | None:
    """What prevents writing a megabyte: a full, read-only or failing disk fails only then."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _jsonl(jsonl: Jsonl) -> str:
    """The file of JSON lines, where there is one. Raises SinkError."""
    if not jsonl.enabled or jsonl.path == "-":
        return ""
    path = Path(jsonl.path)
    was_there = os.path.exists(path)  # unlike Path.exists it never raises, whatever stands there
    JsonlSink.check(jsonl)
    if not was_there:
        path.unlink()
    return f"; {path} can be appended to; {_free(path.absolute().parent)}"


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free"


def _instance(config: Config) -> Finding:
    with lock(config, make_folder=False):
        return Finding(True, "no other daemon runs under this device id")


def _clock(_: Config) -> Finding:
    if clock_synced():
        return Finding(True, "synchronised")
    advice = "event times may be wrong (they say clock_synced: false); check with timedatectl"
    return Finding(False, f"not synchronised: {advice}", fatal=False)


def _thermal(config: Config) -> Finding:
    """The board now and since it was switched on; what the daemon will do about it."""
    health, rate = read_health(), config.rate
    degrees = "no temperature is reported" if health.temperature_c is None else f"{health.temperature_c:.0f} C"
    hot = health.temperature_c is not None and health.temperature_c >= rate.warm_c
    if not (hot or health.throttled):
        return Finding(True, degrees)
    slows = rate.enabled and (hot or (health.throttled or 0) % (1 << SINCE_BOOT))
    slower = "; fewer frames are processed (section rate)" if slows else ""
    reported = ", ".join(filter(None, (degrees, health.words())))
    return Finding(False, f"{reported}: check power supply and cooling{slower}", fatal=False)
