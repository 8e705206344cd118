"""What is received: each request is answered once, in words, and a flood of them is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.config import Config, HomeAssistant, Privacy, Zone
from fer_edge.records import Update
from fer_edge.settings.control import QUEUE, Control
from fer_edge.sinks.mqtt import inbox as inbox_module
from fer_edge.sinks.mqtt.inbox import MAX_REQUEST_BYTES, TOO_MANY, Inbox
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import FRAME
from tests.support.samples import frame_of

BASE = "fer-edge/kitchen"
RARELY = 1e9  # seconds: no second one in a test


class Desk:
    """An inbox without a broker, and what it would have sent."""

    def __init__(self, config: Config, *, path: Path | None = None) -> None:
        self.control, self.outgoing, self.wakes = Control(config, path=path), Outgoing(), 0
        self.inbox = Inbox(config, BASE, self.outgoing, self.control, wake=self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def ask(self, operation: str, payload: bytes = b"") -> None:
        self.inbox.receive(f"{BASE}/request/{operation}", payload, retained=False)

    def sent(self) -> list[Message]:
        """What waits to be sent, once."""
        return list(iter(self.outgoing.messages.get, None))

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.sent()]

    def answer(self) -> dict[str, Any]:
        """The one answer."""
        (only,) = self.answers()
        return only


@contextmanager
def desk_of(config: Config) -> Iterator[Desk]:
    """A desk whose control carries out what is asked."""
    desk = Desk(config)
    desk.control.start()
    yield desk
    desk.control.close()


def seldom(monkeypatch: pytest.MonkeyPatch, kind: str, burst: int) -> None:
    """So many requests of a kind, and then none."""
    monkeypatch.setitem(inbox_module.LIMITS, kind, (burst, RARELY))


def full(control: Control) -> None:
    """As many requests wait as may; nobody carries them out."""
    for _ in range(QUEUE):
        assert control.set("events.enter", b"0.8", lambda _: None)


def test_it_subscribes_to_what_is_asked_and_to_home_assistants_birth() -> None:
    topics = [f"{BASE}/set/#", f"{BASE}/request/#"]
    assert Desk(Config()).inbox.topics == [*topics, "homeassistant/status"]
    assert Desk(Config(homeassistant=HomeAssistant(enabled=False))).inbox.topics == topics


def test_a_ping_is_answered_with_the_time_and_its_transaction() -> None:
    desk = Desk(Config())
    desk.ask("ping", b'{"transaction": "t-1"}')
    (message,) = desk.sent()
    answer = json.loads(message.payload)
    assert message.topic == f"{BASE}/response/ping"
    assert (answer["status"], answer["transaction"]) == ("ok", "t-1")
    assert answer["result"].keys() == {"ts", "clock_synced"}
    assert desk.wakes == 1


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{", "expected nothing or"),
        (b'{"transaction": [1]}', "expected nothing or"),
        (b" " * (MAX_REQUEST_BYTES + 1), "got 1025 bytes"),
        (b'{"more": ' + b"[" * 1010, "expected nothing or"),
    ],
    ids=["no JSON", "a list", "too long", "too deep"],
)
def test_a_request_that_cannot_be_read_is_answered_with_why(payload: bytes, why: str) -> None:
    desk = Desk(Config())
    desk.ask("ping", payload)
    answer = desk.answer()
    assert (answer["status"], answer["transaction"]) == ("error", None)
    assert why in answer["error"]


def test_an_unknown_operation_is_answered_with_the_known_ones(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(Config())
    desk.ask("reboot", b'{"transaction": 7}')
    answer = desk.answer()
    assert (answer["operation"], answer["transaction"]) == ("reboot", 7)
    assert answer["error"] == "unknown; known: ping, reload, restart, snapshot"
    assert "request/reboot: unknown" in caplog.text


@pytest.mark.parametrize("operation", ["a" * 65, "s\xe4ge", "two/levels", ""])
def test_what_is_no_name_of_an_operation_gets_no_topic_of_its_own(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(Config())
    desk.ask(operation)
    assert desk.sent() == []
    assert "cannot be answered" in caplog.text


@pytest.mark.parametrize("payload", [b"{", b""], ids=["unreadable", "unknown"])
def test_a_flood_of_wrong_requests_is_not_answered_with_one(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    seldom(monkeypatch, "refusal", 2)
    desk = Desk(Config())
    for _ in range(5):
        desk.ask("reboot", payload)
    assert len(desk.sent()) == 2


def test_too_many_requests_of_a_kind_are_refused_and_then_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom(monkeypatch, "ping", 1)
    seldom(monkeypatch, "refusal", 1)
    desk = Desk(Config())
    for _ in range(3):
        desk.ask("ping")
    assert [answer["error"] for answer in desk.answers()] == [None, TOO_MANY]


def test_a_restart_is_answered_and_then_wanted(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(Config())
    desk.ask("restart")
    assert desk.answer()["status"] == "ok"
    assert desk.control.restart_wanted
    assert "a restart was asked for" in caplog.text


def test_a_reload_without_a_file_says_so() -> None:
    with desk_of(Config()) as desk:
        desk.ask("reload", b'{"transaction": "r"}')
        wait_for(lambda: len(desk.outgoing.messages), "the answer")
        answer = desk.answer()
    assert (answer["error"], answer["transaction"]) == ("there is no configuration file to read", "r")


def test_a_reload_tells_what_changed_and_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("events: {enter: 0.7}\njsonl: {enabled: true}\n")
    desk = Desk(Config(), path=path)
    desk.control.start()
    desk.ask("reload")
    wait_for(lambda: len(desk.outgoing.messages), "the answer")
    desk.control.close()
    assert desk.answer()["result"] == {"changed": ["events.enter"], "needs_restart": ["jsonl.enabled"], "warnings": []}


def test_what_the_control_has_no_room_for_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(Config())
    full(desk.control)
    desk.ask("reload")
    assert desk.answer()["error"] == TOO_MANY
    desk.inbox.receive(f"{BASE}/set/events/enter", b"0.7", retained=False)
    assert desk.sent() == []
    assert f"set/'events/enter': {TOO_MANY}" in caplog.text


def picture_of(desk: Desk) -> np.ndarray[Any, Any]:
    (message,) = desk.outgoing.take_newest()
    assert (message.topic, message.qos, message.retain) == (f"{BASE}/snapshot", 0, False)
    picture = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def test_a_snapshot_is_the_newest_picture_with_the_zones_in_force() -> None:
    door = Zone(points=((0.1, 0.1), (0.9, 0.1), (0.9, 0.9)))
    shown = []
    for zones in ({}, {"door": door}):
        desk = Desk(Config(privacy=Privacy(images=True), zones=zones))
        desk.inbox.see(Update(frame_of(np.full((480, 640, 3), 90, np.uint8))))
        desk.ask("snapshot")
        assert desk.answer()["status"] == "ok"
        shown.append(picture_of(desk))
    plain, with_door = shown
    assert plain.shape == with_door.shape == (480, 640, 3)
    assert np.abs(plain.astype(int) - with_door).max() > 50


@pytest.mark.parametrize(
    ("images", "update", "why"),
    [
        (False, Update(FRAME), "privacy.images is false in config.yaml"),
        (True, None, "the camera delivers no picture now"),
        (True, Update(None), "the camera delivers no picture now"),
        (True, Update(frame_of(np.zeros((65501, 8, 3), np.uint8))), "the picture cannot be encoded"),
    ],
)
def test_a_snapshot_that_cannot_be_had_is_answered_with_why(images: bool, update: Update | None, why: str) -> None:
    desk = Desk(Config(privacy=Privacy(images=images)))
    if update:
        desk.inbox.see(update)
    desk.ask("snapshot")
    assert desk.answer()["error"] == why
    assert desk.outgoing.take_newest() == []


def setting(desk: Desk, name: str, payload: bytes) -> Callable[[], object]:
    """Ask for another value; whether the answer is there."""
    before = desk.wakes
    desk.inbox.receive(f"{BASE}/set/{name}", payload, retained=False)
    return lambda: desk.wakes > before


def test_a_setting_is_answered_with_the_value_in_force(caplog: pytest.LogCaptureFixture) -> None:
    with desk_of(Config()) as desk:
        wait_for(setting(desk, "events/enter", b"0.8"), "the answer")
        wait_for(setting(desk, "events/enter", b"much"), "the refusal")
        topic, payload = desk.outgoing.take_retained(()) or ("", b"")
    assert topic == f"{BASE}/config/events/enter"
    assert json.loads(payload)["value"] == 0.8, "the refusal tells what is in force still"
    assert "a change was refused" in caplog.text


def test_a_key_that_cannot_be_set_is_answered_once_and_one_that_is_none_only_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with desk_of(Config()) as desk:
        wait_for(setting(desk, "privacy/images", b"true"), "the refusal")
        (message,) = desk.sent()
        caplog.clear()
        wait_for(setting(desk, "events/+", b"1"), "the other refusal")
        assert desk.sent() == []
        assert desk.outgoing.take_retained(()) is None
    assert message.topic == f"{BASE}/config/privacy/images"
    assert not message.retain
    assert "a change was refused" in caplog.text


def test_a_retained_message_is_stale(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk = Desk(Config())
    desk.inbox.receive(f"{BASE}/request/restart", b"", retained=True)
    assert not desk.control.restart_wanted
    assert "request/restart: retained, ignored" in caplog.text


def test_only_a_birth_of_home_assistant_repeats_what_is_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "BIRTH_SECONDS", (0.0, 0.0))
    desk = Desk(Config())
    desk.outgoing.retain("a", b"1")
    assert desk.outgoing.take_retained(()) == ("a", b"1")
    for payload, expected in ((b"offline", None), (b"online", ("a", b"1")), (b"", None)):
        desk.inbox.receive("homeassistant/status", payload, retained=False)
        desk.inbox.say_again()
        assert desk.outgoing.take_retained(()) == expected


def test_what_an_earlier_configuration_subscribed_to_is_passed_over() -> None:
    desk = Desk(Config())
    desk.inbox.receive("shop/kitchen/request/restart", b"", retained=False)
    assert not desk.control.restart_wanted
    assert desk.sent() == []
