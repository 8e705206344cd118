"""What the live page costs the daemon: CPU, memory, frame rate and latency with nobody looking, and with viewers.

    python benchmarks/web.py [--viewers 0 1 10] [--seconds 10] [--rounds 3] [--images]

Starts `fer-edge run` on the built-in demo (640x480, 15 fps, looped) with the embedded broker and the page, and lets so
many viewers look, each asking for pictures like a browser. They are a process of their own: only the daemon counts. CPU
is of one core; rate and latency are what the daemon publishes as `stats`. The numbers of viewers take turns; medians
over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.client import connect

BROKER, PAGE = 18838, 18839
SETTLE_SECONDS = 3.0
ROW = "{:>8} {:>12} {:>10} {:>8} {:>16} {:>16}"


def main() -> None:
    """Measure each number of viewers in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="+", default=[0, 1, 10])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", action="store_true", help="the camera's picture instead of outlines on black")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = start(Path(folder, "config.yaml"), images=options.images)
        try:
            rows = measure(daemon.pid, options.viewers, options.seconds, options.rounds)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)
    print(ROW.format("viewers", "CPU, % core", "RSS, MB", "fps", "latency p50, ms", "pictures/s each"))
    for viewers, found in rows.items():
        medians = [statistics.median(values) for values in zip(*found, strict=True)]
        print(ROW.format(viewers, *(f"{value:.1f}" for value in medians)))


def start(path: Path, *, images: bool) -> subprocess.Popen[bytes]:
    """The daemon, when its page listens."""
    path.write_text(
        "device: {id: bench}\ncamera: {backend: replay, source: demo, loop: true}\n"
        f"mqtt: {{broker: embedded, port: {BROKER}}}\noutbox: {{enabled: false}}\nhomeassistant: {{enabled: false}}\n"
        f"web: {{enabled: true, port: {PAGE}}}\nprivacy: {{images: {str(images).lower()}}}\n"
        f"stats: {{interval_seconds: 1}}\nlog: {{level: warning}}\nstate: {{folder: '{path.parent}'}}\n"
    )
    daemon = subprocess.Popen([sys.executable, "-m", "fer_edge", "run", "-c", str(path)])
    asyncio.run(_listens(daemon))
    return daemon


async def _listens(daemon: subprocess.Popen[bytes]) -> None:
    while daemon.poll() is None:
        with contextlib.suppress(OSError):
            async with connect(f"ws://127.0.0.1:{PAGE}/live", proxy=None):
                return
        await asyncio.sleep(0.2)
    raise SystemExit("benchmarks/web.py: the daemon has ended; it says why above")


def measure(pid: int, viewers: list[int], seconds: float, rounds: int) -> dict[int, list[tuple[float, ...]]]:
    """Number of viewers -> for each round: CPU %, RSS MB, fps, latency ms, pictures a second."""
    rows: dict[int, list[tuple[float, ...]]] = {number: [] for number in viewers}
    for _ in range(rounds):
        for number in viewers:
            rows[number].append(_measure_one(pid, number, seconds))
    return rows


def _measure_one(pid: int, viewers: int, seconds: float) -> tuple[float, ...]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        looking = pool.apply_async(look, (viewers, SETTLE_SECONDS + seconds + 1))
        time.sleep(SETTLE_SECONDS + 1)
        before, begun = _cpu_seconds(pid), time.monotonic()
        fps, latency = _stats(seconds)
        share = 100 * (_cpu_seconds(pid) - before) / (time.monotonic() - begun)
        return share, _resident_mb(pid), fps, latency, looking.get()


def look(viewers: int, seconds: float) -> float:
    """Look with so many pages; pictures a second that each got."""
    return asyncio.run(_look_all(viewers, seconds)) / seconds / max(1, viewers)


async def _look_all(viewers: int, seconds: float) -> int:
    return sum(await asyncio.gather(*(_look(seconds) for _ in range(viewers))))


async def _look(seconds: float) -> int:
    pictures = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), connect(f"ws://127.0.0.1:{PAGE}/live", proxy=None) as page:
            for _ in range(2):
                await page.send('{"type":"next"}')
            async for message in page:
                if isinstance(message, bytes):
                    pictures += 1
                    await page.send('{"type":"next"}')
    return pictures


def _stats(seconds: float) -> tuple[float, float]:
    """The medians of the daemon's own frame rate and latency (p50, ms)."""
    found: list[dict[str, object]] = []

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        found.append(json.loads(message.payload))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.connect("127.0.0.1", BROKER)
    client.subscribe("fer-edge/bench/stats")
    client.loop_start()
    time.sleep(seconds)
    client.loop_stop()
    client.disconnect()
    rates = [float(str(each["fps"])) for each in found]
    latencies = [each["latency_ms"][0] for each in found if isinstance(each["latency_ms"], list)]
    return statistics.median(rates), statistics.median(latencies)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
