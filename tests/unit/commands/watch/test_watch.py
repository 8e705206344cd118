"""`fer-edge watch` against a real mosquitto with published samples."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from fer_edge.commands.watch import watch
from fer_edge.commands.watch.view import WatchOptions
from fer_edge.config import Mqtt
from fer_edge.contract.encode import state_payload
from fer_edge.errors import SinkError
from fer_edge.records import EventType, Reason
from fer_edge.runtime.backoff import Backoff
from fer_edge.testing.brokers import Certificates, Mosquitto, Recorder, free_port, wait_for
from tests.support.face_events import face_state
from tests.support.watch_views import event


class Watching:
    """A watch in a thread, and what it printed."""

    def __init__(self) -> None:
        self.out, self.remarks, self.stop = io.StringIO(), io.StringIO(), threading.Event()
        self.result: Future[int]

    def console(self, *, stderr: bool) -> Console:
        return Console(file=self.remarks if stderr else self.out, highlight=False, markup=False, emoji=False)

    def wait(self, text: str) -> None:
        wait_for(
            lambda: text in self.out.getvalue() + self.remarks.getvalue() or self.result.done(),
            f"{text!r} on the screen",
        )
        assert text in self.out.getvalue() + self.remarks.getvalue(), self.out.getvalue()

    def listens(self, daemon: Recorder) -> None:
        """Wait until it has subscribed, later than "connected": what is not retained and comes before that is lost."""
        daemon.publish("fer-edge/hall/availability", "online", retain=True)
        self.wait("hall is online")

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def watch_options(options: dict[str, Any]) -> WatchOptions:
    """Options of `watch`; what it does not know itself is the broker's."""
    own = {field.name for field in fields(WatchOptions)}
    mqtt = {key: value for key, value in options.items() if key not in own}
    return WatchOptions(
        mqtt=Mqtt(broker="127.0.0.1", **mqtt), **{key: value for key, value in options.items() if key in own}
    )


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Watching]:
    seen = Watching()
    monkeypatch.setattr("fer_edge.commands.watch.lines._console", seen.console)
    with ThreadPoolExecutor(1) as pool:
        seen.result = pool.submit(watch, watch_options(options), stop=seen.stop)
        try:
            yield seen
        finally:
            seen.stop.set()


def test_a_life_of_a_face_reads_well(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    base = "fer-edge/kitchen"
    with Recorder(mosquitto.port) as daemon:
        daemon.publish(f"{base}/availability", "online", retain=True)
        daemon.publish(f"{base}/camera/availability", "online", retain=True)
        with watching(monkeypatch, port=mosquitto.port) as seen:
            seen.wait("kitchen is online")
            seen.wait("kitchen receives frames from its camera")
            state = state_payload((face_state("happiness"), face_state(None, Reason.DARK)))
            daemon.publish(f"{base}/state", msgspec.json.encode(state), retain=True)
            daemon.publish(f"{base}/state", msgspec.json.encode(state), retain=True)
            start = {"expression": None, "previous": None, "reason": Reason.TURNED, "dwell_s": 0.0}
            daemon.publish(f"{base}/event", event(1, event_type=EventType.START, **start))
            daemon.publish(f"{base}/event", event(2))
            daemon.publish(f"{base}/event", event(3, event_type=EventType.END))
            daemon.publish(f"{base}/availability", "offline", retain=True)
            seen.wait("kitchen is offline")
            seen.stop.set()
            assert seen.result.result() == 3
    text = "\n".join(line[8:] if line[2:3] == ":" else line for line in seen.lines())
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in seen.lines())
    assert f"connected to 127.0.0.1:{mosquitto.port}: watching all devices under fer-edge; Ctrl-C ends" in text
    assert text.count("kitchen sees 2 faces: 1 happiness, 1 none") == 1
    assert "  kitchen     #7    start   turned away               0.0 s\n" in text
    assert "  kitchen     #7    update  happiness 88% █████      12.3 s  was neutral\n" in text
    assert "  kitchen     #7    end     happiness 88% █████      12.3 s  was neutral\n" in text


def test_json_gives_the_events_as_they_came(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(mosquitto.port) as daemon, watching(monkeypatch, port=mosquitto.port, json=True) as seen:
        seen.listens(daemon)
        sent = [event(number) for number in range(3)]
        for payload in sent:
            daemon.publish("fer-edge/kitchen/event", payload)
        daemon.publish("fer-edge/kitchen/availability", "online")
        seen.wait("kitchen is online")
    assert capsys.readouterr().out.encode().splitlines() == sent
    assert seen.out.getvalue() == ""


def test_other_devices_and_topics_do_not_show(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Recorder(mosquitto.port, topic="home/faces/#") as daemon,
        watching(monkeypatch, port=mosquitto.port, topic="home/faces", device="hall") as seen,
    ):
        seen.wait("watching home/faces/hall")
        for topic in ("home/faces/kitchen/event", "fer-edge/hall/event", "home/faces/hall/stats"):
            daemon.publish(topic, event())
        daemon.publish("home/faces/hall/event", event(2))
        seen.wait("#7")
        seen.stop.set()
        assert seen.result.result() == 1


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("event", b"not JSON"),
        ("event", b'{"event_type": 3}'),
        ("event", b"[]"),
        ("event", b"\xff\xfe"),
        ("event", b""),
        ("state", b'{"faces": "many"}'),
        ("availability", b"\xff"),
        ("camera/availability", b"\xff"),
    ],
)
def test_a_message_that_cannot_be_read_is_a_warning(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, topic: str, payload: bytes
) -> None:
    with Recorder(mosquitto.port) as daemon, watching(monkeypatch, port=mosquitto.port) as seen:
        daemon.publish("fer-edge/kitchen/availability", "online", retain=True)
        seen.wait("kitchen is online")
        daemon.publish(f"fer-edge/kitchen/{topic}", payload)
        seen.wait(f"fer-edge/kitchen/{topic}: cannot read this message, skipped")
        daemon.publish("fer-edge/kitchen/event", b'{"event_type":"start","of_a_later_version":[1]}')
        seen.wait("start")


def test_a_payload_cannot_steer_the_terminal(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(mosquitto.port) as daemon, watching(monkeypatch, port=mosquitto.port) as seen:
        seen.listens(daemon)
        daemon.publish("fer-edge/kitchen/availability", "\x1b[2J[bold]gone[/bold]")
        seen.wait("reports")
        daemon.publish("fer-edge/kitchen/event", json.dumps({"event_type": "start", "expression": "\x1b[31mred"}))
        seen.wait("start")
    assert "\x1b" not in seen.out.getvalue()
    assert "[bold]gone[/bold]" in seen.out.getvalue()


def test_silence_is_said(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.commands.watch.lines.QUIET_SECONDS", 0.05)
    with watching(monkeypatch, port=mosquitto.port) as seen:
        seen.wait("nothing from fer-edge/+ yet")


def test_a_mistyped_device_is_said_with_those_that_are_there(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(mosquitto.port) as daemon:
        daemon.publish("fer-edge/hall/availability", "online", retain=True)
        daemon.publish("fer-edge/kitchen/availability", "offline", retain=True)
        wait_for(lambda: len(daemon.messages) >= 2, "the broker has them")
        with watching(monkeypatch, port=mosquitto.port, device="kitchn") as seen:
            seen.wait("nothing from fer-edge/kitchn yet; there are: hall, kitchen; did you mean kitchen?")
            assert "hall is online" not in seen.out.getvalue()


def test_what_is_kept_of_an_offline_device_is_not_said_until_it_is_online(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "fer-edge/attic"
    with Recorder(mosquitto.port) as daemon:
        daemon.publish(f"{base}/camera/availability", "online", retain=True)
        daemon.publish(f"{base}/state", msgspec.json.encode(state_payload((face_state("fear"),))), retain=True)
        daemon.publish(f"{base}/availability", "offline", retain=True)
        with watching(monkeypatch, port=mosquitto.port) as seen:
            seen.wait("attic is offline")
            seen.listens(daemon)
            assert not any("attic sees" in line or "attic receives" in line for line in seen.lines())
            daemon.publish(f"{base}/state", msgspec.json.encode(state_payload(())), retain=True)
            daemon.publish(f"{base}/camera/availability", "online", retain=True)
            daemon.publish(f"{base}/availability", "online", retain=True)
            seen.wait("attic receives frames")
            seen.wait("attic sees no faces")
            assert "fear" not in seen.out.getvalue()


def test_no_broker_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.commands.watch.lines.PATIENCE_SECONDS", 0.0)
    with watching(monkeypatch, port=free_port(), for_seconds=1.0) as seen:
        with pytest.raises(SinkError) as raised:
            seen.result.result(20)
        everything = seen.out.getvalue() + str(raised.value)
    assert everything.count("no broker listens there") == 1


def test_it_ends_after_the_time_it_was_given(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(monkeypatch, port=mosquitto.port, for_seconds=0.3) as seen:
        started = time.monotonic()
        assert seen.result.result() == 0
        assert 0.2 < time.monotonic() - started < 30


def test_it_ends_in_time_without_a_broker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        watching(monkeypatch, port=free_port(), for_seconds=0.3) as seen,
        pytest.raises(SinkError, match="no broker listens there"),
    ):
        seen.result.result(5)


def test_a_broker_that_comes_and_goes_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Mosquitto(tmp_path / "broker")
    monkeypatch.setattr("fer_edge.commands.watch._pauses", lambda: Backoff(0.02, 0.1))
    monkeypatch.setattr("fer_edge.commands.watch.lines.PATIENCE_SECONDS", 0.0)
    with watching(monkeypatch, port=broker.port) as seen:
        seen.wait("trying again")
        with broker:
            seen.wait("connected to")
            broker.kill()
        seen.wait("the connection was closed")
        with broker, Recorder(broker.port) as daemon:
            wait_for(lambda: seen.out.getvalue().count("connected to") == 2, "connected again")
            seen.listens(daemon)
            daemon.publish("fer-edge/kitchen/event", event())
            seen.wait("#7")
            seen.stop.set()
            assert seen.result.result() == 1


def test_a_broker_that_is_just_starting_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Mosquitto(tmp_path / "broker")
    with watching(monkeypatch, port=broker.port) as seen, broker:
        seen.wait("connected to")
        assert "trying again" not in seen.out.getvalue()


def test_it_ends_when_the_device_goes_offline(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = "fer-edge/kitchen/availability"
    with Recorder(mosquitto.port) as daemon:
        daemon.publish(topic, "offline", retain=True)  # left by an earlier run: not the end of this one
        with watching(monkeypatch, port=mosquitto.port, until_offline=True) as seen:
            seen.wait("kitchen is offline")
            daemon.publish(topic, "online", retain=True)
            daemon.publish("fer-edge/kitchen/event", event())
            seen.wait("#7")
            assert not seen.result.done()
            daemon.publish(topic, "offline", retain=True)
            assert seen.result.result(10) == 1
    assert seen.lines()[-1] == "1 event of 1 face"


def test_a_wrong_password_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("wrong-one")
    with Mosquitto.with_password(tmp_path / "broker", "me", "right") as broker:
        options = {"port": broker.port, "username": "me", "password_file": str(tmp_path / "secret")}
        with (
            watching(monkeypatch, **options) as seen,
            pytest.raises(SinkError, match="check user name and password") as raised,
        ):
            seen.result.result()
    assert "\n" not in str(raised.value)
    assert "wrong-one" not in str(raised.value)


def test_the_right_password_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates.make(tmp_path / "ca")
    with (
        Mosquitto.with_tls(tmp_path / "broker", certificates) as broker,
        watching(monkeypatch, port=broker.port, tls=True, ca_file=str(certificates.ca)) as seen,
    ):
        seen.wait("connected to")


def test_ctrl_c_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fer_edge.commands.watch._follow", interrupt)
    assert watch(WatchOptions()) == 0
