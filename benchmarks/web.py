"""What the live page costs the daemon: CPU, memory, frame rate and latency with nobody looking, and with viewers.

    python benchmarks/web.py [--viewers 0 1 10] [--seconds 10] [--rounds 3] [--images] [--beside CHECKOUT]

Starts `fer-edge run` on the built-in demo (640x480, 15 fps, looped) with the embedded broker and the page, and lets so
many viewers look, each asking for pictures like a browser. They are a process of their own: only the daemon counts. CPU
is of one core; rate and latency are what the daemon publishes as `stats`. The numbers of viewers take turns; medians
over the rounds. With `--beside`, the daemon of another checkout of the project takes turns with this one.
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
from collections.abc import Iterator
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from processes import cpu_seconds, memory_mb
from websockets.asyncio.client import connect

HERE = Path(__file__).resolve().parents[1]
BROKER, PAGE = 18848, 18849
SETTLE_SECONDS = 3.0
ROW = "{:>8} {:>12} {:>10} {:>8} {:>16} {:>16}"


def main() -> None:
    """Measure each number of viewers in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="+", default=[0, 1, 10])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", action="store_true", help="the camera's picture instead of outlines on black")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, measured in turn")
    options = parser.parse_args()
    checkouts = [HERE, *([options.beside] if options.beside else [])]
    rows: dict[tuple[Path, int], list[tuple[float, ...]]] = {}
    for _ in range(options.rounds):
        for checkout in checkouts:
            with daemon(checkout, images=options.images, most=max(options.viewers)) as pid:
                for number in options.viewers:
                    rows.setdefault((checkout, number), []).append(measure(pid, number, options.seconds))
    for checkout in checkouts:
        print(checkout)
        print(ROW.format("viewers", "CPU, % core", "RSS, MB", "fps", "latency p50, ms", "pictures/s each"))
        for viewers in options.viewers:
            medians = [statistics.median(values) for values in zip(*rows[checkout, viewers], strict=True)]
            print(ROW.format(viewers, *(f"{value:.1f}" for value in medians)))


@contextlib.contextmanager
def daemon(checkout: Path, *, images: bool, most: int) -> Iterator[int]:
    """A daemon of that checkout that runs; its process id."""
    with tempfile.TemporaryDirectory() as folder:
        running = start(checkout, Path(folder, "config.yaml"), images=images, most=most)
        try:
            yield running.pid
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(20)


def start(checkout: Path, path: Path, *, images: bool, most: int) -> subprocess.Popen[bytes]:
    """The daemon, when its page listens."""
    path.write_text(
        "device: {id: web-bench}\ncamera: {backend: replay, source: demo, loop: true}\n"
        f"mqtt: {{broker: embedded, port: {BROKER}}}\noutbox: {{enabled: false}}\nhomeassistant: {{enabled: false}}\n"
        f"web: {{enabled: true, port: {PAGE}, max_viewers: {max(1, most)}}}\n"
        f"privacy: {{images: {str(images).lower()}}}\n"
        f"stats: {{interval_seconds: 1}}\nlog: {{level: warning}}\nstate: {{folder: '{path.parent}'}}\n"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "fer_edge", "run", "-c", str(path)]
    daemon = subprocess.Popen(command, cwd=checkout, env=environment)
    asyncio.run(_listens(daemon))
    return daemon


async def _listens(daemon: subprocess.Popen[bytes]) -> None:
    while daemon.poll() is None:
        with contextlib.suppress(OSError):
            async with connect(f"ws://127.0.0.1:{PAGE}/live", proxy=None):
                return
        await asyncio.sleep(0.2)
    raise SystemExit("benchmarks/web.py: the daemon has ended; it says why above")


def measure(pid: int, viewers: int, seconds: float) -> tuple[float, ...]:
    """With so many viewers: CPU %, RSS MB, fps, latency ms, pictures a second."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        looking = pool.apply_async(look, (viewers, SETTLE_SECONDS + seconds + 1))
        time.sleep(SETTLE_SECONDS + 1)
        before, begun = cpu_seconds(pid), time.monotonic()
        fps, latency = _stats(seconds)
        share = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - begun)
        return share, memory_mb(pid), fps, latency, looking.get()


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
    client.subscribe("fer-edge/web-bench/stats")
    client.loop_start()
    time.sleep(seconds)
    client.loop_stop()
    client.disconnect()
    rates = [float(str(each["fps"])) for each in found]
    latencies = [each["latency_ms"][0] for each in found if isinstance(each["latency_ms"], list)]
    return statistics.median(rates), statistics.median(latencies)


if __name__ == "__main__":
    main()
