"""The running daemon from outside: seconds from its start to the first event at a subscriber, and its memory.

    python benchmarks/daemon.py SOURCE [--runs 5] [--seconds 10] [--against CHECKOUT]

Starts `fer-edge run` on SOURCE (a film, at its own pace, looped; or `demo`, the bundled pictures) with the embedded
broker, subscribes with paho-mqtt, and reads VmRSS and VmHWM of the process once a second. Prints the median over the
runs; with --against, those of another checkout's code too, which took turns with this one's.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from processes import memory_mb

PORT = 18837
HERE = Path(__file__).resolve().parents[1]
FIGURES = ("start to first event, s", "VmRSS, MB", "VmHWM, MB")


def main() -> None:
    """Run several daemons, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="film to look at, or demo")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each daemon runs after its first event")
    parser.add_argument("--against", type=Path, help="another checkout, whose code takes turns with this one's")
    options = parser.parse_args()
    codes = [HERE, *([options.against] if options.against else [])]
    runs = [[run_once(options.source, options.seconds, code) for code in codes] for _ in range(options.runs)]
    for code, each in zip(codes, zip(*runs, strict=True), strict=True):
        print(code)
        for name, values in zip(FIGURES, zip(*each, strict=True), strict=True):
            print(f"{name:25} median {statistics.median(values):7.2f}   (min {min(values):.2f}, max {max(values):.2f})")


def run_once(source: str, seconds: float, code: Path) -> tuple[float, float, float]:
    """FIGURES of one daemon."""
    camera = f"camera: {{backend: stream, source: {json.dumps(source)}, loop: true}}\n"
    if source == "demo":
        camera = "camera: {backend: replay, source: demo}\noutbox: {enabled: false}\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(
            f"device: {{id: bench}}\n{camera}mqtt: {{broker: embedded, port: {PORT}}}\nlog: {{level: warning}}\n"
            f"state: {{folder: {json.dumps(folder)}}}\n"  # no event of an earlier run
        )
        begun = time.monotonic()
        command = [sys.executable, "-m", "fer_edge", "run", "-c", str(path)]
        daemon = subprocess.Popen(command, cwd=code, env={**os.environ, "PYTHONPATH": str(code)})
        try:
            first = _wait_for_event(daemon) - begun
            resident = []
            for _ in range(round(seconds)):
                time.sleep(1)
                resident.append(memory_mb(daemon.pid))
            return first, max(resident), memory_mb(daemon.pid, "VmHWM")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)


def _wait_for_event(daemon: subprocess.Popen[bytes]) -> float:
    """Subscribe as soon as the broker listens; the moment at which the first event is here."""
    arrived, moment = Event(), [0.0]

    def on_message(*_: object) -> None:
        if not arrived.is_set():
            moment[0] = time.monotonic()
            arrived.set()

    def on_connect(client: Client, *_: object) -> None:
        client.subscribe("fer-edge/bench/event", qos=1)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = on_connect
    client.on_message = on_message
    while True:
        try:
            client.connect("127.0.0.1", PORT)
            break
        except ConnectionRefusedError:
            if daemon.poll() is not None:
                raise SystemExit("the daemon has ended; it says why above") from None
            time.sleep(0.01)
    client.loop_start()
    if not arrived.wait(30):
        raise SystemExit("no event within 30 s")
    client.disconnect()
    client.loop_stop()
    return moment[0]


if __name__ == "__main__":
    main()
