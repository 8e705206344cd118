"""sinks/outbox.py held against a plain list, whatever is done to it in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.sqlite_file import SqliteFile
from tests.support.outbox_helpers import NEVER, die, later, well


class Model(RuleBasedStateMachine):
    """Whatever is done, the outbox holds what a plain list would."""

    @initialize(max_events=st.integers(1, 12), write_every_seconds=st.sampled_from([0.0, NEVER]))
    def begin(self, max_events: int, write_every_seconds: float) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.max_events, self.write_every_seconds = max_events, write_every_seconds
        self.waiting: list[tuple[str, int]] = []
        self.written: list[tuple[str, int]] = []
        self.full = False
        self.dropped = 0
        self.open()

    def open(self) -> None:
        path = self.folder / "outbox.db"
        self.outbox = Outbox(SqliteFile(path, write_every_seconds=self.write_every_seconds), max_events=self.max_events)
        self.dropped, self.full = 0, False

    def wrote(self) -> None:
        if not self.full:
            self.written = list(self.waiting)

    def changed(self) -> None:
        if self.write_every_seconds == 0:
            self.wrote()

    @rule(boot_id=st.sampled_from("ab"), seq=st.integers(1, 15))
    def put(self, boot_id: str, seq: int) -> None:
        news = (boot_id, seq) not in self.waiting
        assert self.outbox.put(boot_id, seq, b"%d" % seq + b" " * 1000) == news
        if news:
            self.waiting.append((boot_id, seq))
            over = max(0, len(self.waiting) - self.max_events)
            self.dropped += over
            del self.waiting[:over]
            self.changed()

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(self.waiting))) if self.waiting else set()
        self.outbox.remove([entry.id for entry in self.outbox.oldest(99) if (entry.boot_id, entry.seq) in gone])
        self.waiting = [name for name in self.waiting if name not in gone]
        self.changed()

    @rule()
    def flush(self) -> None:
        assert self.outbox.flush()
        self.wrote()

    @rule()
    def tick(self) -> None:
        self.outbox.tick(later(NEVER + 1))
        self.wrote()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.wrote()
        self.open()

    @rule()
    def kill(self) -> None:
        die(self.outbox)
        self.waiting = list(self.written)
        self.open()

    @rule(count=st.integers(0, 15), data=st.data())
    def read_on(self, count: int, data: st.DataObject) -> None:
        skip = data.draw(st.integers(0, len(self.waiting)))
        after = self.outbox.oldest(skip)[-1].id if skip else 0
        found = [(entry.boot_id, entry.seq) for entry in self.outbox.oldest(count, after)]
        assert found == self.waiting[skip : skip + count]

    @invariant()
    def holds_the_same(self) -> None:
        entries = self.outbox.oldest(99)
        assert [(entry.boot_id, entry.seq) for entry in entries] == self.waiting
        assert all(left.id < right.id for left, right in pairwise(entries))
        assert (len(self.outbox), self.outbox.dropped) == (len(self.waiting), self.dropped)
        assert well(self.outbox)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            shutil.rmtree(self.folder)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=30, stateful_step_count=30)
