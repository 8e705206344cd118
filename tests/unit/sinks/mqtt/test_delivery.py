"""delivery.py and control.py by themselves: what a real broker shows too seldom."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Full, Queue
from threading import Event
from typing import Any, cast

import msgspec
import pytest

from fer_edge.config import Config
from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload
from fer_edge.records import EventType
from fer_edge.runtime.sealed_file import unseal
from fer_edge.settings import overrides_file
from fer_edge.settings.control import QUEUE, Control
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.delivery import Delivery, Store
from fer_edge.sinks.mqtt.limits import Limits, Message
from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.mqtt.replay import is_late
from fer_edge.sinks.sqlite_file import NoFile, SqliteFile
from fer_edge.testing.brokers import SECONDS, wait_for
from tests.support.face_events import IDENTITY, face_event
from tests.support.sink_helpers import quick_retries, running
from tests.support.threads import wait_for_end_of


def payload_of(seq: int, track_id: int, event_type: EventType = EventType.START) -> EventPayload:
    return event_payload(face_event(seq, track_id=track_id, event_type=event_type), IDENTITY)


class Wire:
    """Takes the place of a Link: keeps what it is given, acknowledges nothing by itself."""

    window = 20
    busy = False
    limits = Limits()

    def acknowledges(self, message: Message) -> bool:
        return message.qos > 0

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def publish(self, message: Message) -> int:
        self.sent.append(message)
        return len(self.sent)

    def seqs(self) -> list[int]:
        return [msgspec.json.decode(message.payload)["seq"] for message in self.sent if message.topic == "event"]


def delivery(outgoing: Outgoing, outbox: Outbox) -> tuple[Delivery, Wire, Callable[[], None]]:
    made, wire = Delivery(outgoing, outbox, event=Message("event", b""), replay_per_second=1000), Wire()
    return made, wire, lambda: made.send(cast(Connection, wire))


def put(outbox: Outbox, *seqs: int) -> None:
    for seq in seqs:
        outbox.put("boot", seq, msgspec.json.encode(payload_of(seq, 1)))


def test_every_face_that_a_crash_left_open_gets_an_end_of_its_own(tmp_path: Path) -> None:
    outgoing = Outgoing()
    crashed = Store(outgoing, Config(), tmp_path)
    crashed.open()
    for event in (payload_of(1, 1), payload_of(2, 2), payload_of(3, 1, EventType.UPDATE)):
        outgoing.events.put(event)
    crashed.keep()
    crashed.outbox.flush()
    crashed.outbox.remove([entry.id for entry in crashed.outbox.oldest(10)])
    crashed.outbox.close()
    later = Store(Outgoing(), Config(), tmp_path)
    later.open()
    ends = [msgspec.json.decode(entry.payload) for entry in later.outbox.oldest(10)]
    assert sorted(end["track_id"] for end in ends) == [1, 2]
    assert len({end["seq"] for end in ends}) == 2
    later.close("nobody")


def test_events_that_a_disk_brings_back_go_over_the_same_link(tmp_path: Path) -> None:
    path = tmp_path / "box"
    earlier = Outbox(SqliteFile(path, write_every_seconds=0), max_events=100)
    put(earlier, 1, 2)
    earlier.close()
    path.rename(tmp_path / "away")
    path.mkdir()  # a file cannot be opened there
    outbox = Outbox(SqliteFile(path, write_every_seconds=0), max_events=100)
    made, wire, send = delivery(Outgoing(), outbox)
    put(outbox, 3)
    send()
    made.acknowledge(1, None)
    path.rmdir()
    (tmp_path / "away").rename(path)
    outbox.tick(time.monotonic() + 100)
    send()
    assert wire.seqs() == [3, 1, 2]
    outbox.close()


def test_replayed_are_events_that_are_old_not_those_that_were_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(NoFile(), max_events=100)
    _, wire, send = delivery(Outgoing(), outbox)
    put(outbox, 1)
    send()
    monkeypatch.setattr("fer_edge.sinks.mqtt.replay.LATE_SECONDS", 0.0)
    put(outbox, 2)
    send()
    assert [msgspec.json.decode(message.payload)["replayed"] for message in wire.sent] == [False, True]


def test_an_event_of_an_earlier_run_is_replayed() -> None:
    outbox = Outbox(NoFile(), max_events=100)
    put(outbox, 1)
    (entry,) = outbox.oldest(1)
    assert is_late(entry, "another-boot")
    assert not is_late(entry, "boot")


def test_figures_wait_for_a_slow_network_and_only_the_newest_are_sent() -> None:
    outgoing = Outgoing()
    _, wire, send = delivery(outgoing, Outbox(NoFile(), max_events=100))
    wire.busy = True
    for number in range(5):
        outgoing.put_newest(Message("readings", b"%d" % number, qos=0))
        send()
    assert not wire.sent
    wire.busy = False
    send()
    assert [message.payload for message in wire.sent] == [b"4"]


def test_what_stops_the_control_thread_is_raised() -> None:
    control = Control(Config())
    control.start()

    def fail(_: object) -> None:
        raise RuntimeError("a fault of ours")

    control.set("events.enter", b"0.6", fail)
    wait_for_end_of("control")
    with pytest.raises(RuntimeError, match="a fault of ours"):
        control.check()
    control.close()


def test_control_ends_in_time_however_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.settings.control.END_SECONDS", 0.1)
    control, held = Control(Config()), Event()
    control.start()
    control.set("events.enter", b"0.6", lambda _: cast(Any, held.wait(10)))
    wait_for(lambda: not control.waiting, "it is at work")
    while control.set("events.enter", b"0.6", lambda _: None):
        pass
    assert control.waiting == QUEUE
    started = time.monotonic()
    control.close()
    assert time.monotonic() - started < 8
    held.set()


def test_control_ends_where_the_queue_had_no_room_for_its_end_and_then_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread takes a request just after `close` found the queue full."""

    class FullForTheEnd(Queue[Any]):
        def put_nowait(self, item: Any) -> None:
            if item is None:
                raise Full
            super().put_nowait(item)

    monkeypatch.setattr("fer_edge.settings.control.Queue", FullForTheEnd)
    control, held = Control(Config()), Event()
    control.start()
    control.set("events.enter", b"0.6", lambda _: cast(Any, held.wait(SECONDS)))
    control.set("events.enter", b"0.7", lambda _: None)
    closing = threading.Thread(target=control.close)
    closing.start()
    held.set()
    wait_for_end_of("control")
    closing.join()
    assert control.config.events.enter == 0.7


def test_answers_on_any_number_of_topics_leave_nothing_in_memory() -> None:
    """Whoever may write to set/ makes the daemon answer on topics of his choice."""
    outgoing, outbox = Outgoing(), Outbox(NoFile(), max_events=100)
    made, wire, send = delivery(outgoing, outbox)
    outgoing.retain("info", b"{}")
    for number in range(5):
        outgoing.messages.put(Message(f"config/no/key{number}", b"{}"))
    send()
    for number in range(1, len(wire.sent) + 1):
        made.acknowledge(number, None)
    assert len(wire.sent) == 6
    assert outgoing.taken() == {"info"}


def test_a_broker_that_is_replaced_by_an_older_one_is_spoken_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries(monkeypatch)
    versions: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in (b"\x20\x03\x00\x00\x00", *[b"\x20\x03\x00\x84\x00"] * 2, b"\x20\x02\x00\x00"):
                connection, _ = server.accept()
                with connection:
                    versions.append(connection.recv(4096)[8])
                    connection.sendall(answer)
                    connection.recv(4096)  # it goes on, or leaves

        serving = threading.Thread(target=serve)
        serving.start()
        with running(server.getsockname()[1], close_seconds=0.5):
            serving.join(10)
    assert versions == [5, 5, 5, 4]


def test_a_flood_of_changes_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.settings.control.WRITE_SECONDS", 0.5)
    written: list[bytes] = []
    monkeypatch.setattr(overrides_file, "replace_file", lambda _, data, **__: written.append(data))
    control = Control(Config(), folder=tmp_path)
    control.start()
    for number in range(400):
        while not control.set("events.enter", b"0.%d" % (60 + number % 2), lambda _: None):
            time.sleep(0.001)
    wait_for(lambda: control.tuning.written, "the last one is written")
    control.close()
    assert len(written) < 10
    assert msgspec.json.decode(unseal(written[-1])) == {"events.enter": 0.61}


def test_so_is_what_is_drawn_and_saved_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.settings.control.WRITE_SECONDS", 0.5)
    written: list[bytes] = []
    monkeypatch.setattr(overrides_file, "replace_file", lambda _, data, **__: written.append(data))
    control = Control(Config(), folder=tmp_path)
    control.start()
    answers: list[str | None] = []
    for number in range(200):
        region = {"detector.region": [0.0, 0.0, 1.0, 0.5 + number % 2 / 10]}
        asked = (
            partial(control.draw, region, answers.append),
            partial(control.set, "events.enter", b"0.%d" % (60 + number % 2), lambda _: None, keep=False),
            partial(control.keep_all, answers.append),
        )
        for ask in asked:
            while not ask():
                time.sleep(0.001)
    wait_for(lambda: len(answers) == 400 and control.tuning.written, "the last one is written")
    control.close()
    assert set(answers) == {None}
    assert len(written) < 10
    assert msgspec.json.decode(unseal(written[-1])) == {"detector.region": [0.0, 0.0, 1.0, 0.6], "events.enter": 0.61}


def test_a_storm_of_reloads_is_one_now_and_then(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    control = Control(Config(), path=tmp_path / "config.yaml")
    read: list[object] = []
    control.start()
    asked = [control.reload(read.append) for _ in range(1000)]
    control.close()
    assert sum(asked) == len(read) <= 4


def test_a_face_that_a_crash_left_in_zones_leaves_them_before_its_end(tmp_path: Path) -> None:
    outgoing = Outgoing()
    crashed = Store(outgoing, Config(), tmp_path)
    crashed.open()
    enter = face_event(4, track_id=1, event_type=EventType.ENTER, zone="till", zones=("door", "till"))
    outgoing.events.put(event_payload(enter, IDENTITY))
    crashed.keep()
    crashed.outbox.remove([entry.id for entry in crashed.outbox.oldest(10)])
    crashed.outbox.close()
    later = Store(Outgoing(), Config(), tmp_path)
    later.open()
    replayed_events = [msgspec.json.decode(entry.payload) for entry in later.outbox.oldest(10)]
    assert [(each["event_type"], each.get("zone"), each["zones"]) for each in replayed_events] == [
        ("leave", "door", []),
        ("leave", "till", []),
        ("end", None, []),
    ]
    assert [each["seq"] - replayed_events[0]["seq"] for each in replayed_events] == [0, 1, 2]
    later.close("nobody")
