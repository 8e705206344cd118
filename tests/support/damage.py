"""Stored files, damaged at random: flipped bits, truncations, overwritten blocks and values of another type."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from fer_edge.config import Config
from fer_edge.config import History as HistoryConfig
from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload
from fer_edge.records import EventType
from fer_edge.settings.control import Control
from fer_edge.settings.loader import parse_config
from fer_edge.settings.overrides_file import load, save
from fer_edge.sinks.checked_rows import lenient_text
from fer_edge.sinks.history import HistoryTable, read_history
from fer_edge.sinks.mqtt.delivery import Store
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.mqtt.replay import replayed
from fer_edge.sinks.mqtt.retained import RetainedTopics
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.tracking.minutes import EventRow, Minute
from tests.support.face_events import IDENTITY, face_event

EVENTS, FACES, MINUTES = 20, 6, 30
BEGIN_S = 1_700_000_040
OVERRIDES = {"events.enter": 0.8, "detector.max_faces": 3, "alerts.cheer.enabled": False}


def flip(data: bytearray, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def truncate(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def overwrite(data: bytearray, random: Random) -> None:
    begin = random.randrange(len(data))
    size = min(len(data) - begin, random.choice([2, 16, 512]))
    data[begin : begin + size] = random.choice([bytes(size), b"\xff" * size, random.randbytes(size)])


def damage(path: Path, random: Random) -> None:
    """Flip one bit, more rarely cut the file off or overwrite a part of it."""
    data = bytearray(path.read_bytes())
    random.choice([flip, flip, flip, truncate, overwrite])(data, random)
    path.write_bytes(bytes(data))


def retype(path: Path, table: str, columns: tuple[str, ...], random: Random) -> None:
    """Give one value of a table another type."""
    value = random.choice(["text", b"\xff\xfe", 1, -(2**63), 2.5, "1e999", b"[1]", b"{}", b"null", b'{"a": ' * 2000])
    with closing(sqlite3.connect(path, isolation_level=None)) as db, suppress(sqlite3.IntegrityError):
        column, row = random.choice(columns), random.randrange(5)
        one = f"(SELECT rowid FROM {table} LIMIT 1 OFFSET {row})"
        with suppress(sqlite3.Error):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {one}", (value,))


def config_in(folder: Path) -> Config:
    return parse_config(f"device: {{id: d}}\nstate: {{folder: {folder}}}\n")


def event(seq: int, track_id: int, kind: EventType) -> EventPayload:
    return event_payload(face_event(seq, track_id=track_id, event_type=kind), IDENTITY)


def store_in(folder: Path) -> tuple[Store, Outgoing]:
    outgoing = Outgoing()
    return Store(outgoing, config_in(folder), folder), outgoing


def make_outbox(folder: Path) -> Path:
    """Events that wait, and faces that a crash has left open."""
    store, outgoing = store_in(folder)
    store.open()
    for seq in range(1, EVENTS + 1):
        outgoing.events.put(event(seq, seq % FACES, EventType.START if seq <= FACES else EventType.UPDATE))
    store.keep()
    store.outbox.close()
    return folder / "outbox.sqlite"


def check_outbox(path: Path) -> None:
    """The store opens, goes on, and what arrives is what can be read of the file, in order and unaltered."""
    sound = intact_events(path)
    store, outgoing = store_in(path.parent)
    store.open()
    outgoing.events.put(event(10_000, 99, EventType.START))
    store.keep()
    store.outbox.flush()
    store.keep()
    arrived = [entry.payload for entry in store.outbox.sendable(1000)]
    events = [msgspec.json.decode(replayed(payload), type=EventPayload) for payload in arrived]
    ours = [found.seq for found in events if found.seq <= EVENTS]
    assert ours == sorted(ours), ours
    assert sound <= set(ours), (sound, ours, store.figures())
    assert events[-1].seq == 10_000, events[-1]
    assert all(found.event_type == "end" for found in events[len(ours) : -1])
    store.outbox.remove([entry.id for entry in store.outbox.oldest(1000)])
    assert (store.outbox.flush(), len(store.outbox)) == (True, 0), store.figures()
    store.outbox.close()


def intact_events(path: Path) -> set[int]:
    """The events that another program can read from the file, and that are what was written."""
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    before = set(rows_of(path.with_name("sound.sqlite")))
    return {int(row[2]) for row in rows_of(copy) if row in before}


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """The events in a file, as far as they can be read from its beginning and from its end."""
    found: list[tuple[Any, ...]] = []
    for order in ("", "DESC"):
        with suppress(sqlite3.Error, UnicodeError, MemoryError), closing(sqlite3.connect(path)) as db:
            db.text_factory = lenient_text
            found.extend(db.execute(f"SELECT * FROM events ORDER BY id {order}"))
    return found


def make_history(folder: Path) -> Path:
    """Minutes and events."""
    path = folder / "history.db"
    disk, history = (
        SqliteFile(path, write_every_seconds=0),
        HistoryTable(HistoryConfig(), sure_now=lambda: BEGIN_S + 7200.0),
    )
    disk.add(history)
    for number in range(MINUTES):
        begin_s = BEGIN_S + 60 * number
        minute = Minute(begin_s=begin_s, watched_s=60.0, visitors=number, shown_s={"none": 5.0, "anger": 1.5})
        moment = EventRow(begin_s + 0.5, "run", number, "start", "anger", None, 0.5)
        history.add(minute, [moment])
    disk.flush()
    disk.close()
    return path


def check_history(path: Path) -> None:
    """The history opens, goes on in every minute, and can be read."""
    disk, history = (
        SqliteFile(path, write_every_seconds=0),
        HistoryTable(HistoryConfig(), sure_now=lambda: BEGIN_S + 7200.0),
    )
    disk.add(history)
    for number in range(MINUTES + 1):  # each minute goes on
        minute = Minute(begin_s=BEGIN_S + 60 * number, left=1)
        history.add(minute, [EventRow(minute.begin_s + 1.0, "new", number, "end", None, "dark", 1.0)])
    assert disk.flush() or disk.flush(), disk.trouble
    disk.close()
    minutes, moments = read_history(path, since_s=0, until_s=2e9)
    assert [minute.begin_s for minute in minutes if minute.left] == [BEGIN_S + 60 * n for n in range(MINUTES + 1)]
    known = {(minute.begin_s, minute.visitors) for minute in minutes}
    allowed = {(BEGIN_S + 60 * n, visitors) for n in range(MINUTES + 1) for visitors in (n, 0)}
    assert known <= allowed, known - allowed
    assert [moment.track_id for moment in moments if moment.run == "new"] == list(range(MINUTES + 1))


def make_tuning(folder: Path) -> Path:
    path = folder / "tuning.json"
    assert save(path, OVERRIDES) is None
    return path


def check_tuning(path: Path) -> None:
    """What was kept, or nothing, said in one line."""
    found, warnings = load(path)
    assert found == OVERRIDES or (found == {} and len(warnings) == 1), (found, warnings)
    assert all("\n" not in warning for warning in warnings)


def retained_topics(folder: Path, outgoing: Outgoing) -> RetainedTopics:
    return RetainedTopics("fer-edge/d", IDENTITY, outgoing, Control(config_in(folder)))


def make_published(folder: Path) -> Path:
    path = folder / "published.json"
    made = retained_topics(folder, Outgoing())
    made.remember(path)
    made.refresh()
    return path


def check_published(path: Path) -> None:
    """No topic is removed from the broker that was never there."""
    outgoing = Outgoing()
    made = retained_topics(path.parent, outgoing)
    made.remember(path)
    made.refresh()
    while value := outgoing.take_retained(()):
        assert value[1], f"{value[0]} is removed"


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], dict[str, tuple[str, ...]]]] = {
    "outbox": (
        make_outbox,
        check_outbox,
        {"events": ("boot_id", "seq", "payload", "crc", "id"), "open_faces": ("boot_id", "track_id", "payload", "crc")},
    ),
    "history": (
        make_history,
        check_history,
        {"minutes": ("body", "crc"), "events": ("at_s", "run", "track_id", "kind", "dwell_s", "crc")},
    ),
    "tuning": (make_tuning, check_tuning, {}),
    "published": (make_published, check_published, {}),
}


def attack(kind: str, folder: Path, *, count: int, seed: int = 0) -> list[str]:
    """Damage a file of a kind `count` times; the failures, each with its number."""
    make, check, tables = KINDS[kind]
    (folder / "made").mkdir(parents=True)
    sound, failures = make(folder / "made"), []
    for number in range(count):
        random, run = Random(f"{seed}-{number}"), folder / str(number)
        run.mkdir()
        path = run / sound.name
        shutil.copy(sound, path)
        shutil.copy(sound, run / "sound.sqlite")
        if tables and random.random() < 0.25:
            table = random.choice(list(tables))
            retype(path, table, tables[table], random)
        else:
            damage(path, random)
        failures += _failure(check, path, number)
        shutil.rmtree(run)
    return failures


def _failure(check: Callable[[Path], Any], path: Path, number: int) -> list[str]:
    try:
        check(path)
    except Exception as error:  # what must not be
        return [f"{number}: {error!r}"]
    return []
