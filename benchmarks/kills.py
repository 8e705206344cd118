"""Kills the MQTT sink again and again, and checks what a subscriber was told: of each face one start, one end, and no
time that goes back. Needs mosquitto.

    python -m benchmarks.kills --kills 60
    python -m benchmarks.kills --kills 10 --power-cuts    # goes on with a copy of the files as they were
    python -m benchmarks.kills --write-rate 60            # what an hour with two faces in view writes to the card

Faces are made up: they come and go several times a second, with a heartbeat every 0.15 s (write rate: each stays for
half a minute, changes its expression every 5 s, heartbeat every 30 s).
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from fer_edge.config import Config, HomeAssistant, Mqtt, State
from fer_edge.records import EventType, FaceEvent, Update
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import Mosquitto, Recorder
from tests.support.face_events import FRAME, IDENTITY, face_event

STEP_SECONDS = 0.03


@dataclass(slots=True)
class Crowd:
    """Made-up faces and what happens to them."""

    random: random.Random
    stay_seconds: tuple[float, float]
    heartbeat_seconds: float
    faces: int
    seq: int = 0
    track_id: int = 0
    here: dict[int, list[float]] = field(default_factory=dict)  # id -> came, goes, last told (monotonic seconds)

    def step(self) -> Iterator[FaceEvent]:
        """What happens now."""
        now = time.monotonic()
        for track_id, times in list(self.here.items()):
            if now >= times[1]:
                yield self._event(EventType.END, track_id, now)
                del self.here[track_id]
            elif now - times[2] >= self.heartbeat_seconds:
                times[2] = now
                yield self._event(EventType.UPDATE, track_id, now)
        if len(self.here) < self.faces:
            self.track_id += 1
            self.here[self.track_id] = [now, now + self.random.uniform(*self.stay_seconds), now]
            yield self._event(EventType.START, self.track_id, now)

    def _event(self, kind: EventType, track_id: int, now: float) -> FaceEvent:
        self.seq += 1
        dwell_s = now - self.here[track_id][0]
        return face_event(self.seq, event_type=kind, track_id=track_id, dwell_s=dwell_s, mono_ns=int(now * 1e9))


def child(port: int, folder: Path, seed: int) -> None:
    """A daemon's sink with made-up faces, until it is killed or asked to stop."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    sink, crowd = started(port, folder), Crowd(random.Random(seed), (0.05, 1.5), 0.15, 3)
    print("ready", flush=True)
    while not stopped:
        sink.submit(Update(FRAME, events=tuple(crowd.step())))
        time.sleep(STEP_SECONDS)
    crowd.here = {track_id: [times[0], 0.0, times[2]] for track_id, times in crowd.here.items()}
    crowd.faces = 0
    sink.submit(Update(FRAME, events=tuple(crowd.step())))
    sink.close(10.0)


def started(port: int, folder: Path) -> MqttSink:
    """A sink that keeps its state there."""
    config = Config(
        mqtt=Mqtt(broker="127.0.0.1", port=port),
        state=State(folder=str(folder)),
        homeassistant=HomeAssistant(enabled=False),
    )
    sink = MqttSink(config, replace(IDENTITY, boot_id=uuid.uuid4().hex[:12]), Control(config))
    sink.start()
    return sink


def spawn(port: int, folder: Path, seed: int) -> subprocess.Popen[bytes]:
    """Start a child and wait for it."""
    command = [sys.executable, "-m", "benchmarks.kills", "--child", str(port), str(folder), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def cut(process: subprocess.Popen[bytes], folder: Path, *, power: bool) -> None:
    """Kill it; after a power cut its files are a copy of what they were."""
    if power:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        copy = folder.with_name(f"{folder.name}-copy")
        shutil.copytree(folder, copy)
        process.kill()
        process.wait()
        shutil.rmtree(folder)
        copy.rename(folder)
    process.kill()
    process.wait()


def told(messages: list[bytes]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """(boot id, track id) -> its events as a subscriber sees them who deduplicates, in the order of arrival."""
    faces: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    known: set[tuple[str, int]] = set()
    for message in messages:
        event = msgspec.json.decode(message)
        if (name := (event["boot_id"], event["seq"])) not in known:
            known.add(name)
            faces[event["boot_id"], event["track_id"]].append(event)
    return faces


def faults(faces: dict[tuple[str, int], list[dict[str, Any]]]) -> dict[str, int]:
    """What must not be."""
    found = dict.fromkeys(("no start", "no end", "second end", "end goes back in time", "end with a shorter stay"), 0)
    found["out of order"] = 0
    for events in faces.values():
        kinds = [event["event_type"] for event in events]
        found["no start"] += kinds.count("start") != 1
        found["no end"] += "end" not in kinds
        found["second end"] += kinds.count("end") > 1
        found["out of order"] += events != sorted(events, key=lambda event: int(event["seq"]))
        for end in (event for event in events if event["event_type"] == "end"):
            found["end goes back in time"] += any(event["ts"] > end["ts"] for event in events)
            found["end with a shorter stay"] += any(event["dwell_s"] > end["dwell_s"] for event in events)
    return found


def kill_again_and_again(kills: int, *, power: bool, seed: int) -> None:
    """Print what a subscriber saw."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "state")
        with Mosquitto(Path(name, "broker")) as broker, Recorder(broker.port) as seen:
            for number in range(kills):
                process = spawn(broker.port, folder, number)
                time.sleep(rng.uniform(0, 2.0))
                cut(process, folder, power=power)
            process = spawn(broker.port, folder, -1)
            time.sleep(3.0)
            process.terminate()
            process.wait(30)
            faces = told(seen.of("event"))
    what = "power cuts" if power else "kills"
    print(f"{kills} {what}: {len(faces)} faces, {sum(map(len, faces.values()))} events; {faults(faces)}")


def write_rate(seconds: float) -> None:
    """Print what is written while two faces are in view."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name, "broker")) as broker:
        sink, crowd = started(broker.port, Path(name, "state")), Crowd(random.Random(1), (20, 40), 5.0, 2)
        time.sleep(1.0)
        before, end = written_bytes(), time.monotonic() + seconds
        while time.monotonic() < end:
            sink.submit(Update(FRAME, events=tuple(crowd.step())))
            time.sleep(STEP_SECONDS)
        spent = (written_bytes() - before) * 3600 / seconds
        print(f"{crowd.seq} events in {seconds:g} s with two faces: {spent / 1e6:.1f} MB an hour are written")
        sink.close(5.0)


def written_bytes() -> int:
    """What this process has had written to the block layer."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def main() -> None:
    """Kill, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--power-cuts", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-rate", type=float, metavar="SECONDS")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(int(options.child[0]), Path(options.child[1]), int(options.child[2]))
    elif options.write_rate:
        write_rate(options.write_rate)
    else:
        kill_again_and_again(options.kills, power=options.power_cuts, seed=options.seed)


if __name__ == "__main__":
    main()
