"""`fer-edge watch` on a terminal: what its picture says, at any size and with whatever comes."""

from __future__ import annotations

import re
import time

import msgspec
import pytest

from fer_edge.commands.watch.screen import FIRST_SECONDS, LOST_SECONDS, TerminalScreen
from fer_edge.commands.watch.view import QUIET_SECONDS
from fer_edge.contract.encode import event_payload
from fer_edge.errors import SinkError
from fer_edge.records import EventType, Reason
from fer_edge.sinks.mqtt.broker import Broker
from tests.support.face_events import IDENTITY, face_event
from tests.support.watch_views import STATS_SEEN, event, lines, screen_of, state


def text(screen: TerminalScreen) -> str:
    return "\n".join(lines(screen))


@pytest.fixture
def screen() -> TerminalScreen:
    """Connected, with an online device that sees one face."""
    screen = screen_of()
    screen.connected(Broker(host="hub", port=1883))
    screen.show("fer-edge/kitchen/availability", b"online")
    screen.show("fer-edge/kitchen/camera/availability", b"online")
    screen.show("fer-edge/kitchen/state", state("happiness"))
    screen.show("fer-edge/kitchen/stats", msgspec.json.encode(STATS_SEEN))
    screen.show("fer-edge/kitchen/event", event(1))
    return screen


def test_all_is_well(screen: TerminalScreen) -> None:
    shown = lines(screen)
    assert len(shown) == 24
    assert shown[0] == "fer-edge  connected to hub:1883, all devices under fer-edge".ljust(72) + "12:00:00"
    assert shown[1] == "kitchen      online    1 face  15.0 fps  31 ms  3 events wait  51 °C  113 MB"
    assert re.fullmatch(r"kitchen      #7    happiness █{30}░{4}  88%      12 s", shown[3])
    assert shown[5].endswith("kitchen is online")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  kitchen      #7 update: happiness 88%, was neutral, 12.3 s", shown[6])
    assert shown[-1] == "Ctrl-C ends"


def test_a_face_that_ends_is_gone_and_an_abstention_says_why(screen: TerminalScreen) -> None:
    screen.show("fer-edge/kitchen/event", event(2, event_type=EventType.END))
    screen.show("fer-edge/kitchen/event", event(3, track_id=8, expression=None, reason=Reason.TURNED))
    shown = text(screen)
    assert "#7    happiness" not in shown
    assert re.search(r"kitchen      #8    turned away +12 s", shown)


def test_an_offline_device_is_said_clearly(screen: TerminalScreen) -> None:
    screen.show("fer-edge/hall/availability", b"offline")
    assert re.search(r"hall         offline since before \d\d:\d\d:\d\d: no power", text(screen)), "who knows"
    screen.show("fer-edge/kitchen/availability", b"offline")
    shown = text(screen)
    assert re.search(r"kitchen      offline since \d\d:\d\d:\d\d: no power, no network, or stopped", shown)
    assert "nobody in view" in shown
    assert "fps" not in shown


def test_no_camera_picture(screen: TerminalScreen) -> None:
    screen.show("fer-edge/kitchen/camera/availability", b"offline")
    assert "online   no camera picture  1 face" in text(screen)
    assert "kitchen: its camera is offline" in text(screen)


def test_a_broker_that_is_gone(screen: TerminalScreen) -> None:
    screen.away("MQTT broker hub:1883: connection refused; trying again")
    shown = lines(screen)
    assert shown[0].startswith("fer-edge  MQTT broker hub:1883: connection refused")
    assert shown[1] == "kitchen      unknown", "what was known is old"
    assert "nobody in view" in shown[3]
    assert screen.events == 1


def test_nothing_came_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of()
    screen.connected(Broker(host="hub", port=1883))
    assert "nothing from" not in text(screen), "it has only just asked"
    now = time.monotonic()
    monkeypatch.setattr("fer_edge.commands.watch.screen.time.monotonic", lambda: now + QUIET_SECONDS + 1)
    assert "nothing from fer-edge/+ yet: is a daemon running with this broker and topic?" in text(screen)


def test_a_mistyped_device_is_said_with_those_that_are_there() -> None:
    screen = screen_of(device="hal")
    screen.connected(Broker(host="hub", port=1883))
    for name in ("hall", "kitchen"):
        screen.show(f"fer-edge/{name}/availability", b"online")
    assert "nothing from fer-edge/hal yet; there are: hall, kitchen; did you mean hall?" in text(screen)
    screen.show("fer-edge/hal/availability", b"online")
    assert "nothing from" not in text(screen)
    assert "kitchen" not in text(screen)


def test_the_first_picture_waits_for_what_the_broker_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    screen = screen_of()
    monkeypatch.setattr(screen.live, "update", lambda picture, **_: drawn.append(str(picture)))
    begun = time.monotonic()
    monkeypatch.setattr("fer_edge.commands.watch.screen.time.monotonic", lambda: begun)
    with screen:
        screen.connected(Broker(host="hub", port=1883))
        screen.show("fer-edge/kitchen/state", state("happiness"))
        screen.tick()
        assert drawn == []
        monkeypatch.setattr("fer_edge.commands.watch.screen.time.monotonic", lambda: begun + FIRST_SECONDS)
        screen.tick()
        assert len(drawn) == 1


def test_an_offline_device_shows_nothing_as_if_it_were_on(screen: TerminalScreen) -> None:
    """Whatever the broker keeps of it, in whatever order it comes."""
    kept = {
        "camera/availability": b"offline",
        "state": state("happiness", "fear"),
        "alert/distress": b'{"name":"distress","state":"ON"}',
        "stats": msgspec.json.encode(STATS_SEEN),
    }
    for name, order in (("attic", kept), ("cellar", dict(reversed(kept.items())))):
        if name == "attic":
            screen.show(f"fer-edge/{name}/availability", b"offline")
        for topic, payload in order.items():
            screen.show(f"fer-edge/{name}/{topic}", payload)
        if name == "cellar":
            screen.show(f"fer-edge/{name}/availability", b"offline")
    shown = [line for line in lines(screen) if "attic" in line or "cellar" in line]
    assert len(shown) == 4, "a line for each that it is offline, and when that was heard"
    assert all("offline" in line for line in shown)


@pytest.mark.parametrize("width", [60, 80])
def test_every_line_fits(width: int) -> None:
    screen = screen_of(width=width)
    screen.connected(Broker(host="hub", port=1883))
    screen.show("fer-edge/living-room-west/availability", b"online")
    screen.show("fer-edge/hall/availability", b"offline")
    screen.show("fer-edge/living-room-west/state", state("happiness"))
    screen.show("fer-edge/living-room-west/stats", msgspec.json.encode(STATS_SEEN))
    screen.show("fer-edge/living-room-west/event", event(1))
    shown = lines(screen)
    assert not any("…" in line for line in shown), shown
    assert "15.0 fps  31 ms" in shown[1]
    assert "#7 update: happiness 88%" in "\n".join(shown)


def test_faces_of_before_are_counted(screen: TerminalScreen) -> None:
    screen.show("fer-edge/kitchen/state", state("happiness", "fear", None))
    assert "kitchen      2 faces from before: 1 fear, 1 none" in text(screen)
    screen.show("fer-edge/kitchen/state", state())
    assert "nobody in view" in text(screen)


def test_a_replayed_event_is_history(screen: TerminalScreen) -> None:
    payload = msgspec.structs.replace(event_payload(face_event(9, track_id=50), IDENTITY), replayed=True)
    screen.show("fer-edge/kitchen/event", msgspec.json.encode(payload))
    shown = text(screen)
    assert "#50 update: happiness 88%, was neutral, 12.3 s, replayed" in shown
    assert "#50   happiness" not in shown


def test_a_face_that_is_not_heard_of_any_more(screen: TerminalScreen, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("fer_edge.commands.watch.screen.time.monotonic", lambda: now + LOST_SECONDS + 1)
    screen.forget_lost()
    assert "#7    happiness" not in text(screen)


def test_alerts(screen: TerminalScreen) -> None:
    for number in range(5):
        alert = {"v": 1, "name": f"rule{number}", "state": "ON", "since": None}
        screen.show(f"fer-edge/kitchen/alert/rule{number}", msgspec.json.encode(alert))
    shown = text(screen)
    assert "kitchen      ALERT rule0 since --:--:--" in shown
    assert "and 3 more alerts" in shown
    for number in range(1, 5):
        alert = {"v": 1, "name": f"rule{number}", "state": "OFF", "since": None}
        screen.show(f"fer-edge/kitchen/alert/rule{number}", msgspec.json.encode(alert))
    screen.show("fer-edge/kitchen/alert/rule9", b"")
    assert "more alerts" not in text(screen)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (20, 5), (10, 3)])
def test_it_fits_any_terminal(width: int, height: int) -> None:
    screen = screen_of(width=width, height=height)
    screen.connected(Broker(host="a-broker-with-a-long-name.example", port=1883))
    for device in range(9):
        screen.show(f"fer-edge/device-{device}/availability", b"online" if device % 2 else b"offline")
        for track in range(20):
            screen.show(f"fer-edge/device-{device}/event", event(track, track_id=track))
    shown = screen.picture("12:00:00").renderables
    assert len(shown) <= height
    assert all(line.cell_len <= width for line in shown)  # type: ignore[union-attr]
    if height >= 24:
        assert "devices, 4 of them offline" in text(screen) or "and 4 more devices" in text(screen)
        assert re.search(r"and \d+ more$", text(screen), re.M)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("event", b"not JSON"),
        ("event", b"\xff"),
        ("state", b"[]"),
        ("stats", b"{}"),
        ("availability", b"\xff"),
        ("alert/x", b"3"),
    ],
)
def test_what_cannot_be_read_is_said(screen: TerminalScreen, topic: str, payload: bytes) -> None:
    screen.show(f"fer-edge/kitchen/{topic}", payload)
    assert f"fer-edge/kitchen/{topic}: cannot read this message" in text(screen)


@pytest.mark.parametrize("topic", ["fer-edge/attic/summary", "fer-edge/attic/alert", "fer-edge/attic", "elsewhere"])
def test_what_was_not_subscribed_to_is_ignored(screen: TerminalScreen, topic: str) -> None:
    before = text(screen)
    screen.show(topic, b"{}")
    assert text(screen) == before


def test_nobody_steers_the_terminal(screen: TerminalScreen) -> None:
    screen.show("fer-edge/\x1b[2Jhall/availability", b"\x1b]0;owned\x07")
    screen.show("fer-edge/kitchen/event", b'{"event_type": "\\u001b[2J", "expression": "\\u001b[31m", "track_id": 1}')
    assert "\x1b" not in text(screen)


def test_the_last_word(screen: TerminalScreen) -> None:
    with screen.console.capture() as message:
        screen.sum_up()
    assert message.get() == "1 event from 1 device\n"
    never = screen_of()
    never.away("MQTT broker hub:1883: no broker there")
    with pytest.raises(SinkError, match="no broker there"):
        never.sum_up()


def test_it_ends_with_the_device(screen: TerminalScreen) -> None:
    until = screen_of(until_offline=True)
    until.show("fer-edge/kitchen/availability", b"offline")
    assert not until.over, "left by an earlier run"
    until.show("fer-edge/kitchen/availability", b"online")
    until.show("fer-edge/kitchen/availability", b"offline")
    assert until.over


def test_an_alert_of_an_offline_device_is_not_shown_in_whatever_order_it_comes(screen: TerminalScreen) -> None:
    """A daemon that was killed left it ON; the broker sends what it keeps in any order."""
    alert = b'{"name":"distress","state":"ON"}'
    screen.show("fer-edge/kitchen/availability", b"offline")
    screen.show("fer-edge/kitchen/alert/distress", alert)
    screen.show("fer-edge/hall/alert/distress", alert)
    screen.show("fer-edge/hall/availability", b"offline")
    assert not any("ALERT" in str(line) for line in screen.picture("12:00:00").renderables)
    screen.show("fer-edge/kitchen/availability", b"online")  # its values came before
    assert any("ALERT distress" in str(line) for line in screen.picture("12:00:00").renderables)


def test_a_device_that_was_forgotten_is_gone(screen: TerminalScreen) -> None:
    screen.show("fer-edge/kitchen/availability", b"offline")
    for topic in ("availability", "state", "alert/distress", "camera/availability"):
        screen.show(f"fer-edge/kitchen/{topic}", b"")
    assert not any("offline since" in str(line) for line in screen.picture("12:00:00").renderables)


def test_zones(screen: TerminalScreen) -> None:
    seen = {"v": 1, "faces": 2, "expressions": {}, "dominant": None, "zones": {"door": 2, "till": 0}}
    screen.show("fer-edge/kitchen/state", msgspec.json.encode(seen))
    moved = {"event_type": "leave", "track_id": 3, "expression": "happiness", "previous": "happiness", "zone": "till"}
    screen.show("fer-edge/kitchen/event", msgspec.json.encode(moved | {"zone_dwell_s": 4.2, "dwell_s": 99}))
    assert "door 2, till 0" in text(screen)
    assert "#3 leave till" in text(screen)
    assert "4.2 s" in text(screen)
