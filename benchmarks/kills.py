"""Kills the daemon, or its MQTT sink alone, again and again, and checks what a subscriber was told: of each face one
start, one end, and no time that goes back. Needs mosquitto.

    python -m benchmarks.kills --kills 300 --daemon       # the whole daemon, on the demo
    python -m benchmarks.kills --kills 300                # the sink, with faces that are made up
    python -m benchmarks.kills --kills 51 --power-cuts    # goes on with a copy of the files as they were
    python -m benchmarks.kills --write-rate 60            # what an hour with two faces in view writes to the card

A kill (SIGKILL) comes by turns while it starts, while it runs, and while it stops (SIGTERM). Several devices are
killed at the same time; each is forked from a process that has imported everything already, and what is waited for is
an event, not a time. Made-up faces come and go several times a second, with a heartbeat every 0.15 s (write rate: each
stays for half a minute, changes its expression every 5 s, heartbeat every 30 s); the demo's heartbeat is 0.2 s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from tap import Listener
from victims import STEP_SECONDS, Crowd, sink_alone, started, whole_daemon

from fer_edge.records import Update
from fer_edge.testing.brokers import Mosquitto, wait_for
from tests.support.face_events import FRAME

START_SECONDS = {False: 0.3, True: 2.0}  # about as long as the sink and the daemon take


class Received:
    """What a deduplicating subscriber receives, in the order of arrival."""

    def __init__(self) -> None:
        self.faces: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)  # by boot and track id
        self.runs: Counter[str] = Counter()  # device -> runs of which a face's start arrived
        self._known: set[tuple[str, int]] = set()

    def add(self, message: bytes) -> None:
        """An event has arrived."""
        event = msgspec.json.decode(message)
        name = event["boot_id"], event["seq"]
        if name in self._known:
            return
        self._known.add(name)
        if event["event_type"] == "start" and (event["boot_id"], 0) not in self._known:
            self._known.add((event["boot_id"], 0))
            self.runs[event["device_id"]] += 1
        self.faces[event["boot_id"], event["track_id"]].append(event)


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


@dataclass(slots=True)
class Device:
    """One process to be killed."""

    name: str
    folder: Path
    port: int
    received: Received
    random: random.Random
    whole: bool
    power: bool

    def kill_again_and_again(self, kills: int) -> None:
        """Then run once more, and stop in order."""
        for number in range(kills):
            process = self._start(number)
            (self._while_starting, self._while_running, self._while_stopping)[number % 3](process)
            self._cut(process)
        process = self._start(-1)
        self._await_face(process)
        process.terminate()
        process.join()

    def _start(self, seed: int) -> BaseProcess:
        run = whole_daemon if self.whole else sink_alone
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=run, args=(self.port, self.folder, self.name, seed))
        process.start()
        return process

    def _await_face(self, process: BaseProcess) -> None:
        before = self.received.runs[self.name]
        wait_for(lambda: self.received.runs[self.name] > before or process.exitcode is not None, f"{self.name}: a face")
        assert process.exitcode is None, f"{self.name} has ended by itself"

    def _while_starting(self, _process: BaseProcess) -> None:
        time.sleep(self.random.uniform(0, START_SECONDS[self.whole]))

    def _while_running(self, process: BaseProcess) -> None:
        self._await_face(process)
        time.sleep(self.random.uniform(0, 2.0))

    def _while_stopping(self, process: BaseProcess) -> None:
        self._await_face(process)
        process.terminate()
        time.sleep(self.random.uniform(0, 0.2))

    def _cut(self, process: BaseProcess) -> None:
        """Kill it; after a power cut its files are a copy of what they were."""
        if self.power and process.pid and process.is_alive():
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.05)
        if self.power and self.folder.exists():
            copy = self.folder.with_name(f"{self.folder.name}-copy")
            shutil.copytree(self.folder, copy)
            process.kill()
            process.join()
            shutil.rmtree(self.folder)
            copy.rename(self.folder)
        process.kill()
        process.join()


def kill_again_and_again(options: argparse.Namespace) -> None:
    """Print what a subscriber saw."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["fer_edge.commands.run", "fer_edge.sinks.mqtt.sink"]
    )
    received, begun = Received(), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name, "broker")) as broker:
        Listener(broker.port, "fer-edge/+/event", received.add)
        devices = [
            Device(
                f"d{number}",
                Path(name, f"state{number}"),
                broker.port,
                received,
                random.Random(f"{options.seed}-{number}"),
                options.daemon,
                options.power_cuts,
            )
            for number in range(options.devices)
        ]
        share = -(-options.kills // options.devices)
        threads = [threading.Thread(target=device.kill_again_and_again, args=(share,)) for device in devices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    what = f"{'power cuts' if options.power_cuts else 'kills'} of the {'daemon' if options.daemon else 'sink'}"
    events = sum(map(len, received.faces.values()))
    print(
        f"{share * options.devices} {what} in {time.monotonic() - begun:.0f} s: {sum(received.runs.values())} runs with"
    )
    print(f"{len(received.faces)} faces, {events} events; {faults(received.faces)}")


def write_rate(seconds: float) -> None:
    """Print what is written while two faces are in view."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name, "broker")) as broker:
        sink, crowd = started(broker.port, Path(name, "state")), Crowd(random.Random(1), (20, 40), 5.0, 2)
        wait_for(lambda: sink.settled, "the broker has what it keeps")
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
    parser.add_argument("--devices", type=int, default=3, help="killed at the same time")
    parser.add_argument("--daemon", action="store_true", help="the whole daemon instead of its MQTT sink")
    parser.add_argument("--power-cuts", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-rate", type=float, metavar="SECONDS")
    options = parser.parse_args()
    if options.write_rate:
        write_rate(options.write_rate)
    else:
        kill_again_and_again(options)


if __name__ == "__main__":
    main()
