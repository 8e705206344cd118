"""sinks/web.py: what a page is told, what it can change, and what it costs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from fer_edge.config import Config, Web
from fer_edge.drawing.palette import PALETTE
from fer_edge.errors import ConfigError, SinkError
from fer_edge.records import LABELS, AlertState, EventType, Image
from fer_edge.runtime.sealed_file import unseal
from fer_edge.settings.control import Control
from fer_edge.settings.loader import parse_config
from fer_edge.settings.overrides import Answer
from fer_edge.sinks import open_sinks
from fer_edge.sinks.web.sink import WebSink, check_web
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import IDENTITY
from tests.support.paths import ROOT
from tests.support.web_helpers import JPEG, SECONDS, TOKEN, Page, Site, bright, event_of, serving, update_of


def start(**settings: object) -> None:
    config = Config(web=Web(enabled=True, **settings))  # type: ignore[arg-type]
    sink = WebSink(config, IDENTITY, Control(config))
    sink.start()
    sink.close(5)


def test_a_page_begins_with_all_it_needs(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.sink.submit(event_of(1, event_type=EventType.START, previous=None))
        with site.page() as page:
            hello = page.receive("hello")
        assert (hello["device"], hello["boot"], hello["version"]) == ("kitchen", "boot-1", "0.1.0")
        assert hello["labels"] == list(LABELS)
        assert hello["purpose"] == ""
        assert hello["colors"]["happiness"] == "#f0e442"
        assert hello["colors"].keys() == PALETTE.keys()
        assert [entry["kind"] for entry in hello["entries"]] == ["start"]
        assert {group["name"] for group in hello["groups"]} >= {"Reporting", "Alert “cheer”"}
        assert hello["images"] is False
        assert 0 <= time.monotonic() - hello["at"] < SECONDS


def test_events_and_faces_come_live(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page:
        page.receive("hello")
        site.sink.submit(event_of(1, expression="surprise", previous="neutral", confidence=0.71))
        (entry,) = page.receive("news")["entries"]
        assert (entry["kind"], entry["face"], entry["expression"], entry["confidence"]) == (
            "update",
            7,
            "surprise",
            0.71,
        )
        (face,) = page.receive("faces")["faces"]
        assert (face["id"], face["expression"], face["hidden"]) == (3, "happiness", False)
        assert face["shares"] == [1, 90, 1, 1, 1, 1, 1, 1]


def test_without_images_nothing_of_the_picture_is_shown(tmp_path: Path) -> None:
    assert (shown(tmp_path, images=False)[-8:, -8:] < 30).all()
    assert (shown(tmp_path, images=True)[-8:, -8:] > 170).all()


def shown(tmp_path: Path, *, images: bool) -> Image:
    with serving(tmp_path, images=images) as site, site.page() as page:
        jpeg = next_picture(site, page)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def next_picture(site: Site, page: Page) -> bytes:
    page.receive("hello")
    page.say(type="next")
    wait_for(lambda: site.sink.live.frame_requested, "the page has asked")
    site.sink.submit(update_of(bright()))
    jpeg = page.picture()
    assert jpeg.startswith(JPEG)
    return jpeg


def test_a_picture_is_no_wider_than_wanted(tmp_path: Path) -> None:
    with serving(tmp_path, max_width=64) as site, site.page() as page:
        picture = cv2.imdecode(np.frombuffer(next_picture(site, page), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (48, 64, 3)


def test_nobody_looks_nothing_is_drawn(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        renderer = site.sink.renderer
        for seq in range(20):
            site.sink.submit(event_of(seq + 1))
        with site.page() as page:
            page.receive("hello")
            site.sink.submit(update_of(bright()))
            page.receive("faces")
            # it has not asked for a picture, as a hidden page does not
            assert (renderer.seen, renderer.drawn) == (1, 0)
            page.say(type="next")
            wait_for(lambda: site.sink.live.frame_requested, "the page has asked")
            site.sink.submit(update_of(bright()))
            page.picture()
            assert (renderer.seen, renderer.drawn) == (2, 1)
        wait_for(lambda: not site.sink.live.watched, "the page is closed")
        for _ in range(20):
            site.sink.submit(update_of(bright()))
        with site.page() as page:  # they would come before what it sees
            page.receive("hello")
            site.sink.submit(update_of(bright()))
            page.receive("faces")
            assert (renderer.seen, renderer.drawn) == (3, 1)


def test_a_slider_changes_the_config_in_force_until_the_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page, site.page() as other:
        page.say(type="set", key="events.enter", value=0.8)
        assert page.receive("reply") == {"type": "reply", "key": "events.enter", "problem": None}
        assert site.control.config.events.enter == 0.8
        for each in (page, other):
            each_hello = each.receive("settings")
            setting = each.setting("events.enter", each_hello)
            assert (setting["value"], setting["kept"], setting["default"]) == (0.8, 0.5, 0.5)
        assert not (tmp_path / "tuning.json").exists()
    with serving(tmp_path) as again:
        assert again.control.config.events.enter == 0.5


def test_saved_it_outlasts_the_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page:
        page.say(type="set", key="events.enter", value=0.8)
        page.say(type="set", key="alerts.cheer.enabled", value=False)
        page.say(type="keep")
        replies = [page.receive("reply") for _ in range(3)]
        assert replies[-1] == {"type": "reply", "key": "", "problem": None}
    kept = json.loads(unseal((tmp_path / "tuning.json").read_bytes()))
    assert kept == {
        "events.enter": 0.8,
        "alerts.cheer.enabled": False,
    }
    with serving(tmp_path) as again, again.page() as page:
        assert again.control.config.events.enter == 0.8
        assert page.setting("events.enter", page.receive("hello"))["kept"] == 0.8


def test_what_mqtt_sets_moves_every_slider(tmp_path: Path) -> None:
    answers: list[Answer] = []
    with serving(tmp_path) as site, site.page() as page:
        page.receive("hello")
        assert site.control.set("quality/max_blur", b"0.4", answers.append)
        setting = page.setting("quality.max_blur", page.receive("settings"))
        assert (setting["value"], setting["kept"]) == (0.4, 0.4)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("events.enter", 0.1, "expected at most events.enter (0.1)"),
        ("events.enter", 7, "expected a number <= 1.0"),
        ("privacy.images", True, "can only be changed in config.yaml"),
        ("camera.width", 32, "needs a restart"),
        ("a" * 100, 1, "expected a name"),
    ],
)
def test_what_cannot_be_set_is_refused_in_words(tmp_path: Path, key: str, value: float, words: str) -> None:
    with serving(tmp_path) as site, site.page() as page:
        before = site.control.config
        page.say(type="set", key=key, value=value)
        assert words in page.receive("reply")["problem"]
        assert site.control.config == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type":"next","x":1}', '{"type":"set"}', "[" * 500, "x" * 2000])
def test_a_page_that_talks_nonsense_is_closed(tmp_path: Path, text: str) -> None:
    with serving(tmp_path) as site, site.page() as page, site.page() as other:
        page.connection.send(text)
        assert page.closed() in (1008, 1009)
        site.sink.submit(event_of(1))
        assert other.receive("hello")["entries"] or other.receive("news")["entries"]


def test_bytes_are_nonsense_too(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page:
        page.connection.send(b"next")
        assert page.closed() == 1008


def test_too_many_pages(tmp_path: Path) -> None:
    with serving(tmp_path, max_viewers=1) as site, site.page() as page:
        page.receive("hello")
        with site.page() as second, pytest.raises(ConnectionClosed) as closed:
            second.receive("hello")
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "too many pages are open")


def test_pages_hear_that_the_daemon_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        page = site.page()
        page.receive("hello")
        begun = time.monotonic()
        site.sink.close(30)
        assert time.monotonic() - begun < 20
        assert page.closed() == 1012
        site.sink.submit(event_of(1))  # and nothing comes of it
        site.sink.close(5)


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SinkError, match=rf"^web: cannot listen on 127.0.0.1:{port}: Address already in use; set "):
            start(port=port)


def test_an_address_of_another_machine_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with pytest.raises(SinkError, match=r"^web: cannot listen on 192.0.2.1:0: Cannot assign requested address; "):
        start(host="192.0.2.1", port=0, token_file=str(file))
    with pytest.raises(SinkError, match=r"not an address of this machine; check web.host$"):
        start(host="no.such.host.invalid", port=0, token_file=str(file))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "raspberrypi.local"])
def test_the_network_takes_a_token(host: str) -> None:
    with pytest.raises(ConfigError) as error:
        start(host=host, port=0)
    assert str(error.value) == (
        f"section web, key host: {host} makes the page reachable from the network, expected a token beside it; "
        "put one into web.token_file; to generate it: openssl rand -hex 16, or set 127.0.0.1"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_this_machine_does_not(host: str) -> None:
    start(host=host, port=0)


def test_a_token_may_come_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web-token").write_text(TOKEN + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert check_web(Web(host="0.0.0.0", port=0)).endswith(":0/, with a token")
    (tmp_path / "web-token").write_text("short\n")
    with pytest.raises(ConfigError, match=r"key token_file: expected at least 16 characters, got 5; put one"):
        start(port=0)


def test_a_token_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the secret 'web-token': No such file"):
        start(port=0, token_file=str(tmp_path / "nothing"))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    config = parse_config("web: {enabled: true, port: 0}\nmqtt: {enabled: false}\n")
    with pytest.raises(
        SinkError, match=r"^web.enabled is true, but the package uvicorn is not installed; run: pip inst"
    ):
        open_sinks(config, IDENTITY, Control(config))


def test_where_it_is_off_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from fer_edge.config import *; from fer_edge.sinks import open_sinks\n"
        "import fer_edge.commands.check\n"
        "open_sinks(Config(mqtt=Mqtt(enabled=False)), None, None)\n"
        "sys.exit(any(name.startswith(('starlette', 'uvicorn')) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_alerts_are_told(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page:
        page.receive("hello")
        alert = AlertState("cheer", on=True, mono_ns=time.monotonic_ns(), expressions=("happiness",), faces=2)
        site.sink.submit(update_of(bright(), alerts=(replace(alert, track_ids=(3, 5)),)))
        (entry,) = page.receive("news")["entries"]
        assert (entry["kind"], entry["name"], entry["on"], entry["faces"]) == ("alert", "cheer", True, 2)
        assert entry["who"] == [3, 5]
