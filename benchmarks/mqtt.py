"""MQTT under load, against a mosquitto of its own on loopback.

    python benchmarks/mqtt.py [--film THREE_FACES.gif] [--seconds 20]

First as many events as the sink can deliver (QoS 1, outbox on disk), with a subscriber that counts them: events a
second, lost, doubled, and the memory's growth over the second half. Then, where a film is given, the running daemon at
30 frames a second with `readings` on: milliseconds from the exposure of a frame to the subscriber, median and p99.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parent.parent))
from fer_edge.config import Config, HomeAssistant, Mqtt, State
from fer_edge.runtime.meter import rss_mb
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import SECONDS, accepts, free_port, wait_for
from tests.support.face_events import IDENTITY, events

AHEAD = 2000  # events that may be on their way: more would only wait in the queue
DAEMON = """
device: {{id: bench}}
camera: {{backend: replay, source: "{film}", fps: 30, loop: true}}
readings: {{enabled: true, max_per_second: 60}}
homeassistant: {{enabled: false}}
mqtt: {{broker: 127.0.0.1, port: {port}}}
state: {{folder: "{folder}"}}
"""


def main() -> None:
    """Both measures, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", help="with three faces")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        throughput(port, Path(folder), options.seconds)
        if options.film:
            latency(port, Path(folder), options.film, options.seconds)


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """A broker on a free port of loopback."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or shutil.which("mosquitto")
    if program is None:
        raise SystemExit("mosquitto is not installed (Debian package mosquitto)")
    port = free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"
    )
    process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        while not accepts(port):
            if process.poll() is not None:
                raise SystemExit("mosquitto has ended by itself")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def subscriber(port: int, topic: str) -> Iterator[list[tuple[int, Any]]]:
    """Notes (monotonic ns, message) of what comes."""
    got: list[tuple[int, Any]] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: got.append((time.monotonic_ns(), message.payload))
    client.connect("127.0.0.1", port)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe(topic, 1)
    client.loop_start()
    subscribed.wait(SECONDS)
    try:
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


def throughput(port: int, folder: Path, seconds: float) -> None:
    """As fast as the broker acknowledges; the subscriber runs in another process."""
    watch = subprocess.Popen(
        [sys.executable, __file__, "--count", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert watch.stdout
    assert watch.stdin
    watch.stdout.readline()
    mqtt = Mqtt(broker="127.0.0.1", port=port)
    config = Config(mqtt=mqtt, homeassistant=HomeAssistant(enabled=False), state=State(folder=str(folder)))
    sink, sent, memory = MqttSink(config, IDENTITY, Control(config)), 0, []
    sink.start()
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        waiting, dropped, _ = sink.store.figures()
        if waiting < AHEAD:
            sink.submit(events(sent + 1, sent + 30))
            sent += 30
        else:
            time.sleep(0.002)
        memory.append(rss_mb())
    sink.close(30)
    took = time.monotonic() - begun
    print(f"{'events, sent':36}{sent:10}   ({sent / took:.0f} a second over {took:.1f} s, {dropped} dropped)")
    time.sleep(1)
    watch.stdin.write("\n")
    watch.stdin.flush()
    received, distinct = watch.stdout.readline().split()
    print(f"{'events, received (distinct)':36}{received:>10}   ({distinct}, lost {sent - int(distinct)})")
    half = len(memory) // 2
    growth = statistics.mean(memory[-half // 5 :]) - statistics.mean(memory[half : half + half // 5])
    print(f"{'memory, growth over the second half':36}{growth:10.1f} MB   (of {memory[-1]:.0f} MB)")


def count(port: int) -> None:
    """The subscriber's process: counts until a line comes."""
    with subscriber(port, "fer-edge/+/event") as got:
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(got), len({json.loads(payload)["seq"] for _, payload in got}), flush=True)


def latency(port: int, folder: Path, film: str, seconds: float) -> None:
    """The real daemon, from outside."""
    config = folder / "config.yaml"
    config.write_text(DAEMON.format(film=Path(film).absolute(), port=port, folder=folder))
    with subscriber(port, "fer-edge/bench/readings") as got:
        daemon = subprocess.Popen([sys.executable, "-m", "fer_edge", "run", "--config", str(config)])
        try:
            wait_for(lambda: got or daemon.poll() is not None, "the first reading")
            time.sleep(seconds)
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait()
    figures = [(at - message["mono_ns"], len(message["faces"])) for at, data in got if (message := json.loads(data))]
    delays = sorted(delay / 1e6 for delay, _ in figures[30:])
    faces = statistics.mean(count for _, count in figures)
    median, p99 = (delays[int(share * len(delays))] for share in (0.5, 0.99))
    print(f"{'frame to subscriber, ms':36}{median:10.1f}   median, {p99:.1f} p99")
    print(f"{'':36}{len(delays) / seconds:10.1f}   messages a second, {faces:.1f} faces each")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--count"]:
        count(int(sys.argv[2]))
    else:
        main()
