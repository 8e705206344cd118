"""Who changes settings while the daemon runs: one after the other, not too many, and what is kept of them."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from fer_edge.config import Config
from fer_edge.settings import control as module
from fer_edge.settings.control import QUEUE, Control
from fer_edge.settings.overrides import Answer, Reload
from fer_edge.testing.brokers import wait_for
from tests.support.threads import wait_for_end_of
from tests.support.tuning_helpers import stored


def test_so_many_may_wait_and_a_control_that_ends_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_SECONDS", 0.01)
    control, busy, go_on, answers = Control(Config()), Event(), Event(), list[Answer]()

    def slow(_: Answer) -> None:
        busy.set()
        go_on.wait(30)

    control.start()
    control.set("events.enter", b"0.8", slow)
    assert busy.wait(30)
    assert [control.set("events.enter", b"0.7", answers.append) for _ in range(QUEUE + 1)] == [True] * QUEUE + [False]
    assert control.waiting == QUEUE
    assert not control.keep_all(lambda _: None)
    assert not control.draw({}, lambda _: None)
    control.close()
    go_on.set()
    wait_for_end_of("control")
    assert answers == [], "it had no time for them"


def test_what_follows_a_change_is_written_together_and_at_the_end(tmp_path: Path) -> None:
    control, answers = Control(Config(), folder=tmp_path), list[Answer]()
    control.start()
    for value in (b"0.8", b"0.7", b"0.75"):
        control.set("events.enter", value, answers.append)
    wait_for(lambda: len(answers) == 3, "all are in force")
    assert stored(tmp_path) == {"events.enter": 0.8}, "only the first one at once"
    control.close()
    assert stored(tmp_path) == {"events.enter": 0.75}
    control.check()


def test_what_follows_is_written_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control, answers = Control(Config(), folder=tmp_path), list[Answer]()
    control.start()
    control.set("events.enter", b"0.8", answers.append)
    wait_for(lambda: len(answers) == 1, "it is in force")
    control.set("events.enter", b"0.7", answers.append)
    wait_for(lambda: len(answers) == 2, "it is in force")
    assert stored(tmp_path) == {"events.enter": 0.8}
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    control.set("events.leave", b"0.3", answers.append)  # it wakes the thread, which looks at the clock again
    wait_for(lambda: stored(tmp_path) == {"events.enter": 0.7, "events.leave": 0.3}, "both are written")
    control.close()


def test_what_cannot_be_written_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    control, answers = Control(Config(), folder=folder), list[Answer]()
    control.start()
    control.set("events.enter", b"0.8", answers.append)
    wait_for(lambda: len(answers) == 1, "it is in force")
    (folder / "tuning.json").unlink()
    folder.rmdir()
    folder.write_text("a file where the folder was")
    control.set("events.enter", b"0.7", answers.append)
    wait_for(lambda: len(answers) == 2, "it is in force")
    control.close()
    assert control.config.events.enter == 0.7
    assert "changes will not survive a restart: " in caplog.text


def test_drawing_and_keeping_tell_who_listens(tmp_path: Path) -> None:
    control, told, replies = Control(Config(), folder=tmp_path), list[int](), list[str | None]()
    control.on_change(lambda: told.append(len(control.config.zones)))
    control.start()
    door = {"points": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}
    control.draw({"zones": {"door": door}}, replies.append)
    control.draw({"zones": {"door": {"points": [[0, 0]]}}}, replies.append)
    control.keep_all(replies.append)
    wait_for(lambda: len(replies) == 3, "all answers")
    control.close()
    drawn, refused, kept = replies
    assert (drawn, kept) == (None, None)
    assert refused
    assert told == [1, 1]
    assert "door" in control.config.zones


def test_a_reload_of_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("camera: {fsp: 3}\nevents: {enter: x}\n")
    control, outcomes = Control(Config(), path=path), list[Reload | str]()
    control.start()
    assert all(control.reload(outcomes.append) for _ in range(3))
    assert not control.reload(outcomes.append), "not so often"
    wait_for(lambda: len(outcomes) == 3, "the answers")
    control.close()
    assert control.config == Config()
    assert isinstance(outcomes[0], str)
    assert "key fsp: unknown" in outcomes[0]
    assert "\n" not in outcomes[0]
    assert "the configuration is unchanged" in caplog.text
