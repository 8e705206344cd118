"""A fleet under load: the real publishing code of N devices, a cluster that loses a node, and what came of the events.

    python -m benchmarks.fleet --devices 1000 [--seconds 90] [--rate 0.2] [--no-kill]
                              [--broker HOST:PORT [--plain]]

Without --broker it starts three RabbitMQ nodes (rabbitmq-server must be installed) with examples/fleet/rabbitmq.conf in
a temporary folder, and in front of them a balancer as a fleet would have HAProxy, for a device knows one address. A
third of the way in, the node on which the subscriber's session began is killed (SIGKILL). After two thirds it is
started again. All listens on loopback; what was started is ended by its own pid.

A broker given with --broker keeps the retained values of the simulated devices: take one for tests.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import secrets
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from rabbitmq import SPAWN, Cluster, accepts, balance, process, wait_for

from fer_edge.config import Config, HomeAssistant, Mqtt, State
from fer_edge.records import EventType, Update
from fer_edge.runtime.meter import peak_rss_mb
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from tests.support.face_events import FRAME, IDENTITY, STATS, face_event, face_state

Address = tuple[str, int]
PER_PROCESS = 80  # a sink has about 8 open files, and it waits with select(), which knows no more than 1024
PER_SECOND = 40  # devices that connect
STATS_SECONDS = 10.0
SETTLE_SECONDS = 120.0  # for what waits on the devices, after the last event
VICTIM = 1  # the balancer's first turn goes to whoever asks whether it is up, the second to the subscriber
QUIET_SECONDS = 3.0  # without an arrival, and nothing more will come
STORY = (EventType.START, EventType.UPDATE, EventType.END)
FACES = ((face_state("neutral"),), (face_state("happiness"),), ())
"""What is in view after each part of the story: so `state` changes with every event, as it does in earnest."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    devices: int
    seconds: float
    rate: float  # events per device and second
    kill: bool = True
    broker: Address | None = None
    plain: bool = False  # no shared subscription, MQTT 3.1.1


class Arrival(NamedTuple):
    """An event as the subscriber got it."""

    boot_id: str
    seq: int
    at: float  # monotonic seconds
    latency_ms: float  # since it happened
    replayed: bool


class Report(NamedTuple):
    """What a process of devices tells at its end."""

    sent: dict[str, int]  # boot_id -> events, numbered from 1
    waiting: set[tuple[str, int]]  # (boot_id, seq) of what is still in the outboxes, on disk
    dropped: int  # by outboxes that were full
    memory_mb: float  # at most, of the process, 10^6 bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of the events."""

    sent: int
    received: int  # each counted once
    undelivered: int  # did not arrive, but is still in an outbox: it will come
    lost: int
    duplicates: int
    replayed: int
    all_ms: Sequence[float]  # latency of each event's first arrival, ascending
    direct_ms: Sequence[float]  # of those that were not replayed
    silence_seconds: float  # the longest between two arrivals


def account(sent: Mapping[str, int], arrivals: Sequence[Arrival], waiting: Set[tuple[str, int]]) -> Figures:
    """Hold what arrived, and what waits, against what was sent; what nobody here sent does not count."""
    ours = [arrival for arrival in arrivals if 1 <= arrival.seq <= sent.get(arrival.boot_id, 0)]
    first: dict[tuple[str, int], Arrival] = {}
    for arrival in ours:
        first.setdefault((arrival.boot_id, arrival.seq), arrival)
    times = [arrival.at for arrival in ours]
    return Figures(
        sent=sum(sent.values()),
        received=len(first),
        undelivered=len(waiting - first.keys()),
        lost=sum(sent.values()) - len(waiting | first.keys()),
        duplicates=len(ours) - len(first),
        replayed=sum(arrival.replayed for arrival in first.values()),
        all_ms=sorted(arrival.latency_ms for arrival in first.values()),
        direct_ms=sorted(arrival.latency_ms for arrival in first.values() if not arrival.replayed),
        silence_seconds=max((later - earlier for earlier, later in pairwise(times)), default=0.0),
    )


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; NaN of nothing."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else math.nan


class Device:
    """One simulated device: a sink of its own, with a file for its outbox."""

    def __init__(self, name: str, mqtt: Mqtt, folder: str) -> None:
        config = Config(
            mqtt=mqtt,
            homeassistant=HomeAssistant(enabled=False),  # no fleet has a thousand devices there
            state=State(folder=folder),
        )
        self.name, self.sent = name, 0
        self.sink = MqttSink(config, replace(IDENTITY, device_id=name, boot_id=name), Control(config))

    def submit_next(self) -> None:
        """The next event of a face that comes, changes and goes."""
        part = self.sent % len(STORY)
        track = self.sent // len(STORY) + 1
        self.sent += 1
        event = face_event(self.sent, event_type=STORY[part], track_id=track, face_count=len(FACES[part]))
        self.sink.submit(Update(FRAME, faces=FACES[part], events=(event,)))

    @property
    def waiting(self) -> list[tuple[str, int]]:
        """What is in the outbox, once the sink is closed."""
        with closing(sqlite3.connect(self.sink._folder / "outbox.sqlite")) as db:
            return db.execute("SELECT boot_id, seq FROM events").fetchall()

    @property
    def backlog(self) -> tuple[int, int]:
        """Events that wait, and events that were dropped."""
        waiting, dropped, _ = self.sink.store.figures()
        return waiting, dropped


def publish(names: Sequence[str], options: Options, address: Address, folder: str, go: Event, out: Queue[Any]) -> None:
    """A process of devices: connect one after the other, wait for `go`, submit events, report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to the end
    logging.getLogger("fer_edge").setLevel(logging.ERROR)  # else each device says that the node is gone
    # RabbitMQ below 3.13 knows no MQTT 5; being asked for it costs it a connection and a page in its log each time
    mqtt = Mqtt(broker=address[0], port=address[1], version="auto" if options.broker else "3.1.1")
    devices = [Device(name, mqtt, folder) for name in names]
    for device in devices:
        device.sink.start()
        time.sleep(options.devices / PER_SECOND / len(devices))
    wait_for(lambda: all(device.sink.settled for device in devices), SETTLE_SECONDS)
    out.put(len(devices))
    go.wait()
    submit_events(devices, options)
    wait_for(lambda: not any(device.backlog[0] for device in devices), SETTLE_SECONDS)
    for device in devices:
        device.sink.close(5)
    waiting = {key for device in devices for key in device.waiting}
    dropped = sum(device.backlog[1] for device in devices)
    out.put(Report({device.name: device.sent for device in devices}, waiting, dropped, peak_rss_mb()))


def submit_events(devices: Sequence[Device], options: Options) -> None:
    """Events at an even pace, each device in its turn; figures of the daemon every ten seconds."""
    begun = time.monotonic()
    figures_at = [begun + STATS_SECONDS * number / len(devices) for number in range(len(devices))]
    for number in range(round(options.seconds * options.rate * len(devices))):
        time.sleep(max(0.0, begun + number / (options.rate * len(devices)) - time.monotonic()))
        place = number % len(devices)
        devices[place].submit_next()
        if time.monotonic() >= figures_at[place]:
            devices[place].sink.submit(Update(FRAME, faces=FACES[place % 3], stats=STATS))
            figures_at[place] += STATS_SECONDS


def watch(address: Address, prefix: str, shared: bool, ready: Event, pipe: Connection) -> None:
    """The subscriber's process: a session that outlasts connections. Asked "quiet?" through the pipe it says for how
    many seconds nothing has come; asked anything else it says what came, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    arrivals: list[Arrival] = []
    protocol = MQTTProtocolVersion.MQTTv5 if shared else MQTTProtocolVersion.MQTTv311
    session: dict[str, Any] = {} if shared else {"clean_session": False}
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"{prefix}-watch", protocol=protocol, **session)
    topic = f"$share/{prefix}/fer-edge/+/event" if shared else "fer-edge/+/event"
    client.on_connect = lambda client, *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _data, message: note(arrivals, message.payload)
    client.reconnect_delay_set(1, 4)
    if shared:
        lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho forgot it
        lasting.SessionExpiryInterval = 300
        client.connect(*address, keepalive=15, clean_start=False, properties=lasting)
    else:
        client.connect(*address, keepalive=15)
    client.loop_start()
    while pipe.recv() == "quiet?":
        pipe.send(time.monotonic() - arrivals[-1].at if arrivals else math.inf)
    client.disconnect()
    client.loop_stop()
    pipe.send(arrivals)


def note(arrivals: list[Arrival], payload: bytes | bytearray) -> None:
    """Write an arrival down. Device and subscriber share this machine's monotonic clock."""
    at, event = time.monotonic(), json.loads(payload)
    arrivals.append(Arrival(event["boot_id"], event["seq"], at, 1e3 * at - event["mono_ns"] / 1e6, event["replayed"]))


def measure(options: Options) -> tuple[Figures, list[Report]]:
    """The whole run; whatever happens, nothing of it stays."""
    prefix = f"load{secrets.token_hex(3)}"
    names = [f"{prefix}-{number:04}" for number in range(options.devices)]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-"))
        address = options.broker or ("127.0.0.1", 0)
        cluster = None
        if options.broker is None:
            cluster = stack.enter_context(Cluster(Path(folder)))
            address = ("127.0.0.1", cluster.balancer_port)
            stack.enter_context(process(balance, cluster.balancer_port, cluster.ports))
            wait_for(lambda: accepts(cluster.balancer_port), 10)
        ready, go, out = SPAWN.Event(), SPAWN.Event(), SPAWN.Queue()
        pipe, far_end = SPAWN.Pipe()
        shared = bool(options.broker) and not options.plain
        stack.enter_context(process(watch, address, prefix, shared, ready, far_end))
        if not ready.wait(30):
            raise SystemExit("the subscriber could not subscribe")
        groups = [names[first : first + PER_PROCESS] for first in range(0, len(names), PER_PROCESS)]
        work = (options, address, folder, go, out)
        publishers = [stack.enter_context(process(publish, group, *work)) for group in groups]
        collect(out, publishers)
        go.set()
        if cluster and options.kill:
            disturb(cluster, options.seconds)
        reports = collect(out, publishers)
        sent = {name: count for report in reports for name, count in report.sent.items()}
        return account(sent, arrivals_of(pipe), set().union(*(report.waiting for report in reports))), reports


def collect(out: Queue[Any], publishers: Sequence[SpawnProcess]) -> list[Any]:
    """What each of the processes has to say."""
    words: list[Any] = []
    while len(words) < len(publishers):
        try:
            words.append(out.get(timeout=1.0))
        except Empty:
            if any(publisher.exitcode for publisher in publishers):
                raise SystemExit("a process of devices has died") from None
    return words


def disturb(cluster: Cluster, seconds: float) -> None:
    """Kill a node a third of the way in, and start it again after two thirds."""
    time.sleep(seconds / 3)
    cluster.kill(VICTIM)
    time.sleep(seconds / 3)
    cluster.start(VICTIM)


def arrivals_of(pipe: Connection[Any, Any]) -> list[Arrival]:
    """All that the subscriber got, once nothing more comes."""

    def quiet() -> bool:
        pipe.send("quiet?")
        return bool(pipe.recv() >= QUIET_SECONDS)

    wait_for(quiet, SETTLE_SECONDS)
    pipe.send("end")
    arrivals: list[Arrival] = pipe.recv()
    return arrivals


def show(figures: Figures, reports: Sequence[Report]) -> None:
    """A line for each figure."""
    memory = max(report.memory_mb for report in reports)
    lines: list[tuple[str, float, str]] = [
        ("events, sent", figures.sent, ""),
        ("events, received (distinct)", figures.received, f"of these {figures.replayed} replayed"),
        ("events, not yet delivered", figures.undelivered, "they wait on the devices"),
        ("events, lost", figures.lost, ""),
        ("events, dropped by full outboxes", sum(r.dropped for r in reports), ""),
        ("events, duplicates", figures.duplicates, ""),
        ("longest silence, s", figures.silence_seconds, ""),
    ]
    for name, values in (("all", figures.all_ms), ("not replayed", figures.direct_ms)):
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        lines += [(f"event to subscriber, ms, {name}", p50, f"p50; p99 {p99:.1f}; {len(values)} events")]
    lines += [("memory of a process, at most, MB", memory, f"{len(reports)} processes of up to {PER_PROCESS} devices")]
    for name, value, remark in lines:
        print(f"{name:40}{value:10.1f}   {remark}" if isinstance(value, float) else f"{name:40}{value:10}   {remark}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--rate", type=float, default=0.2, help="events per device and second")
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--broker", metavar="HOST:PORT", help="an existing one, with MQTT 5 and shared subscriptions")
    parser.add_argument("--plain", action="store_true", help="with --broker: MQTT 3.1.1, a subscription of one's own")
    given = parser.parse_args()
    host, _, port = (given.broker or "").rpartition(":")
    broker = (host, int(port)) if given.broker else None
    options = Options(given.devices, given.seconds, given.rate, not given.no_kill, broker, given.plain)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else it would leave the nodes behind
    show(*measure(options))


if __name__ == "__main__":
    main()
