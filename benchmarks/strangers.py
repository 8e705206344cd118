"""Silent connections to the live page: is every event on time, is the page usable, how much memory does it take?

    python benchmarks/strangers.py --connections 2000 --seconds 60

Runs the daemon on the built-in demo with a soft limit of 1,024 open files, as systemd sets it, and keeps as many
connections open from 127.0.0.1 as it is let; what is closed is opened again. Asks for the page from 127.0.0.2. A minute
without any of it comes first, for comparison: in the demo nobody is in view for a moment, so events are 2 s apart.
"""

from __future__ import annotations

import argparse
import http.client
import json
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from processes import memory_mb

from fer_edge.testing.brokers import free_port

CONFIG = """\
device: {{id: strangers}}
camera: {{backend: replay, source: demo, loop: true}}
mqtt: {{enabled: false}}
jsonl: {{enabled: true, path: {folder}/events.jsonl}}
events: {{heartbeat_seconds: 1}}
web: {{enabled: true, port: {port}}}
state: {{folder: {folder}/state}}
"""


def page_seconds(port: int) -> float:
    """How long another address waits for the page."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=("127.0.0.2", 0))
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - begun


def storm(port: int, count: int, seconds: float, pid: int) -> tuple[int, list[float], float]:
    """Hold the connections; how many were closed, how long the page took each second, the most memory."""
    selector, closed, waits, most = selectors.DefaultSelector(), 0, [], 0.0
    for _ in range(count):
        selector.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
    end, tick = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        for key, _ in selector.select(0.2):
            selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
            closed += 1
            if closed % 20 == 0:  # bounded: not as fast as the machine can
                time.sleep(0.01)
            selector.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
        if time.monotonic() > tick:
            tick = time.monotonic() + 1
            waits.append(page_seconds(port))
            most = max(most, memory_mb(pid))
    return closed, waits, most


class Tail(threading.Thread):
    """Reads events as they are written: when each happened, and how long after that it was there (seconds)."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.received: list[tuple[float, float]] = []
        self._path = path
        self.start()

    def run(self) -> None:
        """The thread."""
        rest = ""
        while not self._path.exists():
            time.sleep(0.01)
        with self._path.open() as file:
            while True:
                *lines, rest = (rest + file.read()).split("\n")
                for happened in (json.loads(line)["mono_ns"] / 1e9 for line in lines):
                    self.received.append((happened, time.monotonic() - happened))
                time.sleep(0.01)

    def in_words(self, begun: float, ended: float) -> str:
        """How late the events between two moments were, and how far apart; the latter depends on the film, too."""
        received = [each for each in list(self.received) if begun <= each[0] < ended]
        gap = max(second - first for (first, _), (second, _) in pairwise(received))
        return (
            f"{len(received)} events, at most {max(late for _, late in received):.2f} s late, at most {gap:.2f} s apart"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "config.yaml").write_text(CONFIG.format(folder=name, port=port))
        command = [sys.executable, "-m", "fer_edge", "run", "-c", str(folder / "config.yaml")]
        daemon = subprocess.Popen(
            command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard)), stderr=subprocess.PIPE
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.connections + 500), hard))
        try:
            tail = Tail(folder / "events.jsonl")
            time.sleep(5)
            begun = time.monotonic()
            time.sleep(min(options.seconds, 60))
            before, quiet, ended = memory_mb(daemon.pid), page_seconds(port), time.monotonic()
            closed, waits, most = storm(port, options.connections, options.seconds, daemon.pid)
            alive, over = daemon.poll() is None, time.monotonic()
        finally:
            daemon.terminate()
            message = daemon.communicate()[1].splitlines()
    print(f"{options.connections} silent connections for {options.seconds:g} s, {closed} closed and opened again")
    print(f"daemon alive: {alive}; log lines {len(message)}")
    print(f"before: {tail.in_words(begun, ended)}")
    print(f"meanwhile: {tail.in_words(ended, over)}")
    print(f"page from another address: {quiet:.3f} s before, {max(waits):.3f} s at most meanwhile")
    print(f"memory {before:.1f} MB before, {most:.1f} MB at most")


if __name__ == "__main__":
    main()
