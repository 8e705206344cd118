"""What another camera in the same daemon costs: CPU time and memory of `fer-edge run` with one, two and more cameras.

    python benchmarks/cameras.py [SOURCE] [--cameras 1 2] [--runs 3] [--seconds 20]

Each daemon looks at SOURCE (the built-in demo), at its own pace and looped, once for each camera, without a broker and
with the live page off. They take turns; printed are the medians over the runs, of the seconds after the first events.
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

from processes import cpu_seconds, memory_mb

START_SECONDS = 60.0


def main() -> None:
    """Run the daemons, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="demo", help="film to look at (default: %(default)s)")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2], help="how many (default: 1 2)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each daemon is watched")
    options = parser.parse_args()
    runs: dict[int, list[tuple[float, float]]] = {count: [] for count in options.cameras}
    for _ in range(options.runs):
        for count, found in runs.items():
            found.append(run_once(options.source, count, options.seconds))
    print(f"{'cameras':>7}  {'CPU, % of a core':>16}  {'memory, MB':>10}")
    for count, found in runs.items():
        cpu, memory = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{count:7}  {cpu:16.1f}  {memory:10.1f}")


def run_once(source: str, count: int, seconds: float) -> tuple[float, float]:
    """(CPU in per cent of a core, resident MB) of one daemon."""
    backend = "replay" if source.startswith("demo") else "stream"
    camera = {"backend": backend, "source": source, "loop": True}
    cameras = {"camera": camera} if count == 1 else {"cameras": {f"camera{n}": camera for n in range(count)}}
    with tempfile.TemporaryDirectory() as folder:
        path, events = Path(folder, "config.yaml"), Path(folder, "events.jsonl")
        common = {
            "device": {"id": f"bench-{os.getpid()}"},
            "mqtt": {"enabled": False},
            "state": {"folder": folder},
            "jsonl": {"enabled": True, "path": str(events)},
            "log": {"level": "warning"},
        }
        path.write_text(json.dumps(cameras | common))
        daemon = subprocess.Popen([sys.executable, "-m", "fer_edge", "run", "-c", str(path)])
        try:
            wait_for_events(Path(folder), count)
            begun, before = time.monotonic(), cpu_seconds(daemon.pid)
            time.sleep(seconds)
            spent = cpu_seconds(daemon.pid) - before
            return 100 * spent / (time.monotonic() - begun), memory_mb(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def wait_for_events(folder: Path, count: int) -> None:
    """Wait until every camera has reported a face."""
    end = time.monotonic() + START_SECONDS
    while sum(file.stat().st_size > 0 for file in folder.glob("events*.jsonl")) < count:
        if time.monotonic() > end:
            raise SystemExit(f"no event of each camera within {START_SECONDS:g} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
