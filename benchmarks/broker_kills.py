"""Kills the broker (kill -9 of mosquitto) again and again while events pour in, and looks for what got lost.

    python -m benchmarks.broker_kills --kills 200
    python -m benchmarks.broker_kills --kills 200 --session    # what mosquitto itself loses

Between the sink and the broker is a relay that notes what the broker was sent and what it acknowledged: an event that
was acknowledged and that no subscriber got is the broker's loss, every other one is ours. The broker forwards to a
subscriber before it acknowledges; so nothing is lost there where a subscriber is back before the sink and reads its
connection to the end. With --session the subscriber is an ordinary one (paho, QoS 1, a session that mosquitto keeps and
saves after every change), which comes back when it does. Half of the kills come at a random moment, half while events
are on their way. The sink tries to connect again at once instead of after 1 to 60 s; everything else is as in the
daemon.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from tap import Listener, Tap
from victims import Crowd, started

from fer_edge.records import Update
from fer_edge.sinks.mqtt import session
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.face_events import FRAME

STEP_SECONDS = 0.02
TOPIC = "fer-edge/kitchen/event"


class Load(Thread):
    """Ten faces, each with a heartbeat every 0.1 s: about a hundred events a second."""

    def __init__(self, sink: MqttSink, seed: int) -> None:
        super().__init__(daemon=True)
        self.crowd = Crowd(random.Random(seed), (0.2, 3.0), 0.1, 10)
        self._sink, self._over = sink, Event()

    def run(self) -> None:
        """The thread."""
        while not self._over.wait(STEP_SECONDS):
            self._sink.submit(Update(FRAME, events=tuple(self.crowd.step())))
        self.crowd.all_leave()
        self._sink.submit(Update(FRAME, events=tuple(self.crowd.step())))

    def finish(self) -> None:
        """End every face."""
        self._over.set()
        self.join()


def kill_once(broker: Mosquitto, tap: Tap, rng: random.Random) -> None:
    """Kill the broker at a random moment, or when a random number of events has gone by."""
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, 1.0))
    else:
        count = len(tap.sent) + rng.randint(1, 60)
        wait_for(lambda: len(tap.sent) >= count, "events go to the broker")
    tap.gate.clear()
    broker.kill()


def lost(seen: list[bytes], tap: Tap, total: int) -> tuple[list[int], list[int]]:
    """The events that did not arrive: (lost by us, lost by the broker after it had acknowledged them)."""
    missing = sorted(set(range(1, total + 1)) - set(numbers(seen)))
    taken = set(numbers(tap.acknowledged))
    return [seq for seq in missing if seq not in taken], [seq for seq in missing if seq in taken]


def numbers(payloads: list[bytes]) -> list[int]:
    """Sequence numbers without repetitions, in the order of arrival."""
    return list(dict.fromkeys(msgspec.json.decode(payload)["seq"] for payload in payloads))


@contextmanager
def faithful(broker: Mosquitto, tap: Tap, seen: list[bytes]) -> Iterator[Callable[[], None]]:
    """A subscriber that is there whenever the sink is, and receives all that the broker forwards; call it after each
    start of the broker."""
    listeners: list[Listener] = []

    def back() -> None:
        for before in listeners:
            before.join()
        listeners[:] = [Listener(broker.port, TOPIC, seen.append)]
        tap.gate.set()

    yield back


@contextmanager
def ordinary(broker: Mosquitto, tap: Tap, seen: list[bytes]) -> Iterator[Callable[[], None]]:
    """A subscriber with a session at the broker, that comes back by itself."""
    with Recorder(broker.port, topic=TOPIC, session="recorder") as recorder:
        wait_for((broker.folder / "mosquitto.db").exists, "the session on disk")
        yield tap.gate.set
        with suppress(pytest.fail.Exception):  # some may be lost
            wait_for(lambda: set(tap.sent) <= set(recorder.of("event")), "all events", seconds=20)
        seen += recorder.of("event")


def kill_again_and_again(kills: int, seed: int, *, session: bool) -> None:
    """Print what a subscriber saw."""
    rng, seen, begun = random.Random(seed), list[bytes](), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name, "broker"), persistent=session) as broker:
        tap = Tap(broker.port)
        with (ordinary if session else faithful)(broker, tap, seen) as back:
            sink = started(tap.port, Path(name, "state"))
            load = Load(sink, seed)
            load.start()
            for _ in range(kills):
                back()
                kill_once(broker, tap, rng)
                broker.start()
            back()
            load.finish()
            wait_for(lambda: sink.store.figures()[0] == 0, "the outbox is empty", seconds=120)
            sink.close(10)
            tap.close()
    print(f"{kills} broker kills in {time.monotonic() - begun:.0f} s: ", end="")
    report(seen, tap, sink, load.crowd.seq)


def report(seen: list[bytes], tap: Tap, sink: MqttSink, total: int) -> None:
    """Print what became of the events."""
    waiting, dropped, _ = sink.store.figures()
    ours, brokers = lost(seen, tap, total)
    order = sum(second < first for first, second in pairwise(numbers(seen)))
    print(f"{total} events, {len(tap.sent)} times sent, {len(ours)} lost, {order} out of order, {dropped} dropped,")
    print(f"{waiting} waiting at the end; {len(brokers)} lost by the broker that it had acknowledged")
    print("\n".join(f"lost: {kind} {seqs}" for kind, seqs in (("ours", ours), ("the broker's", brokers)) if seqs))


def main() -> None:
    """Kill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--session", action="store_true", help="with an ordinary subscriber")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    session.RETRY_SECONDS = (0.02, 0.2)
    kill_again_and_again(options.kills, options.seed, session=options.session)


if __name__ == "__main__":
    main()
