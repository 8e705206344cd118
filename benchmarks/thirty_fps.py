"""A camera at 30 frames a second while everything around the daemon breaks: which frames are dropped, which events come
late? Needs mosquitto.

    python benchmarks/thirty_fps.py --seconds 60

The camera is an HTTP server that sends the demo as Motion JPEG, 320 x 240, and counts what it sends. One phase after
the other: quiet; the broker is killed (SIGKILL) and started again every 2 s; the broker hangs (SIGSTOP) for 5 of every
8 s; 2,000 silent connections to the live page; quiet again. The daemon may have 1,024 open files, as under systemd.
"""

from __future__ import annotations

import argparse
import http.server
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import Process, Value
from pathlib import Path
from typing import Any

import cv2
import msgspec

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from strangers import storm
from tap import Listener

from fer_edge.camera import open_camera
from fer_edge.config import Camera
from fer_edge.testing.brokers import Mosquitto, accepts, free_port, wait_for

FPS = 30
CONFIG = """\
device: {{id: bench}}
camera: {{backend: stream, source: "http://127.0.0.1:{camera}/film"}}
mqtt: {{broker: 127.0.0.1, port: {mqtt}}}
homeassistant: {{enabled: false}}
events: {{heartbeat_seconds: 1}}
stats: {{interval_seconds: 1}}
web: {{enabled: true, port: {web}}}
state: {{folder: {folder}/state}}
log: {{level: error}}
"""


def film(port: int, sent: Any) -> None:
    """Serve the demo at 30 frames a second, over and over; count what was sent."""
    camera = open_camera(Camera(backend="replay", source="demo", width=320, height=240, fps=FPS, pace="max"))
    pictures = [cv2.imencode(".jpg", frame.image)[1].tobytes() for frame in iter(camera.read, None)]

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
            self.end_headers()
            with suppress(ConnectionError):  # the daemon ends
                self.send()

        def send(self) -> None:
            due = time.monotonic()
            while True:
                for picture in pictures:
                    head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                    self.wfile.write(head + picture + b"\r\n")
                    sent.value += 1
                    due = max(due + 1 / FPS, time.monotonic())  # no camera catches up
                    time.sleep(max(0.0, due - time.monotonic()))

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


@dataclass(slots=True)
class Heard:
    """What a subscriber receives: when an event arrived and when it happened (both in seconds), the newest figures."""

    events: list[tuple[float, float]] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def add(self, payload: bytes) -> None:
        """A message has arrived."""
        now = time.monotonic()
        message = msgspec.json.decode(payload) if payload.startswith(b"{") else {}
        if "stage_ms" in message:
            self.stats, self.at = message, now
        elif "mono_ns" in message:
            self.events.append((now, message["mono_ns"] / 1e9))


@dataclass(slots=True)
class Bench:
    """The daemon and everything around it."""

    broker: Mosquitto
    daemon: subprocess.Popen[bytes]
    web: int
    sent: Any
    heard: Heard

    def listen(self) -> None:
        """Subscribe, again after the broker was away."""
        Listener(self.broker.port, "fer-edge/bench/+", self.heard.add)

    def figures(self) -> tuple[int, int, int, int]:
        """Frames sent by the camera, processed, overwritten before that, skipped on purpose: new figures."""
        for _ in range(2):  # the first may have waited for the broker
            begun = time.monotonic()
            wait_for(lambda: self.heard.at > begun, "figures", seconds=90)  # noqa: B023 - called at once
        stats = self.heard.stats
        return self.sent.value, stats["frames"], stats["dropped_frames"], stats["skipped_frames"]

    def measure(self, name: str, phase: Callable[[], object]) -> None:
        """Go through a phase and print what came of it."""
        before, begun = self.figures(), time.monotonic()
        phase()
        ended = time.monotonic()
        sent, seen, dropped, skipped = (after - earlier for after, earlier in zip(self.figures(), before, strict=True))
        reported = [(at, happened) for at, happened in list(self.heard.events) if begun <= happened < ended]
        late = max((at - happened for at, happened in reported), default=0.0)
        moments = sorted(happened for _, happened in reported)
        gap = max((second - first for first, second in pairwise(moments)), default=0.0)
        frames = f"{sent:6} sent {seen:6} looked at {dropped:4} dropped {skipped:4} skipped"
        print(f"{name:20}{frames} {len(reported):5} events, at most {late:.2f} s late, {gap:.2f} s apart", flush=True)

    def killed(self, seconds: float) -> None:
        """The broker, again and again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.9)
            self.broker.kill()
            time.sleep(0.1)
            self.broker.start()
            self.listen()

    def hanging(self, seconds: float) -> None:
        """The broker keeps its connections and does nothing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, pause in ((signal.SIGSTOP, 5.0), (signal.SIGCONT, 3.0)):
                os.kill(self.broker.pid, number)
                time.sleep(pause)


def go_through(bench: Bench, options: argparse.Namespace) -> None:
    """Each phase."""
    seconds = options.seconds
    bench.listen()
    wait_for(lambda: bench.heard.events, "an event", seconds=60)
    time.sleep(5.0)
    bench.measure("quiet", lambda: time.sleep(seconds))
    bench.measure("broker killed", lambda: bench.killed(seconds))
    bench.measure("broker hangs", lambda: bench.hanging(seconds))
    bench.measure("silent connections", lambda: storm(bench.web, options.connections, seconds, bench.daemon.pid))
    bench.measure("quiet again", lambda: time.sleep(seconds))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a phase")
    parser.add_argument("--connections", type=int, default=2000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    camera, web, sent = free_port(), free_port(), Value("q", 0)
    serving = Process(target=film, args=(camera, sent), daemon=True)
    serving.start()
    wait_for(lambda: accepts(camera), "the camera")  # it renders its film
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name, "broker")) as broker:
        path = Path(name, "config.yaml")
        path.write_text(CONFIG.format(camera=camera, mqtt=broker.port, web=web, folder=name))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "fer_edge", "run", "-c", str(path)],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard)),
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.connections + 500), hard))
        try:
            go_through(Bench(broker, daemon, web, sent, Heard()), options)
        finally:
            daemon.terminate()
            daemon.wait(30)
    serving.terminate()


if __name__ == "__main__":
    main()
