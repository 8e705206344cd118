"""What several cameras share: one page with an overview, and one embedded broker."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from websockets.sync.client import connect

from fer_edge.config import CamerasConfig, Config, Jsonl, Mqtt, NamedCamera, Outbox, Privacy, Web
from fer_edge.settings.control import Control
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sinks.mqtt import embedded
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.sinks.shared import SharedSinks
from fer_edge.sinks.web.sink import WebSink
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import IDENTITY
from tests.support.web_helpers import SECONDS, TOKEN, Page, Site

OFF = Mqtt(enabled=False)
CAMERAS = {"front": NamedCamera(), "back": NamedCamera()}


@contextmanager
def shared(config: CamerasConfig) -> Iterator[dict[str, Site]]:
    """The page of each camera, all of them served."""
    sinks, pages = SharedSinks(config, "shop"), {}
    sinks.start()
    own = Config(mqtt=config.mqtt, web=config.web)
    for name in config.cameras:
        control = Control(own)
        (page,) = sinks.open(name, own, replace(IDENTITY, device_id=f"shop-{name}"), control)
        assert isinstance(page, WebSink)
        pages[name] = Site(page, control)
    sinks.serve()
    try:
        yield pages
    finally:
        for site in pages.values():
            site.sink.close(1)
        sinks.close(5)


def web(**settings: object) -> Web:
    return Web(enabled=True, port=0, **settings)  # type: ignore[arg-type]


def test_each_camera_has_its_page_behind_one_address() -> None:
    with shared(CamerasConfig(cameras=CAMERAS, mqtt=OFF, web=web())) as pages:
        front, back = pages["front"], pages["back"]
        assert front.host == back.host
        answer, text = front.ask("/")
        assert answer.status == http.client.OK
        assert "shop" in text
        assert 'href="camera/front/"' in text
        assert 'href="camera/back/"' in text
        assert "What this device is for is not declared (privacy.purpose)." in text
        assert "<!-- cameras -->" not in text
        answer, _ = front.ask("/camera/back")
        assert (answer.status, answer.getheader("Location")) == (307, "back/")
        assert front.ask("/camera/back/")[0].status == http.client.OK
        for unknown in ("/camera/side", "/camera/side/", "/camera/"):
            assert front.ask(unknown)[0].status == http.client.NOT_FOUND
        with Page(connect(f"ws://{front.host}/camera/back/live", open_timeout=SECONDS, proxy=None)) as page:
            hello = page.receive("hello")
        assert (hello["device"], hello["cameras"]) == ("shop-back", ["front", "back"])


def test_the_overview_says_the_purpose_and_stands_behind_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    config = CamerasConfig(
        cameras=CAMERAS,
        mqtt=OFF,
        web=web(token_file=str(tmp_path / "token")),
        privacy=Privacy(purpose="retail", controller="<Shop>"),
    )
    with shared(config) as pages:
        assert pages["front"].ask("/")[0].status != http.client.OK
        answer, text = pages["front"].ask("/", Authorization=f"Bearer {TOKEN}")
        assert answer.status == http.client.OK
        assert "&lt;Shop&gt;" in text


def test_all_cameras_publish_to_the_one_embedded_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "LINGER_SECONDS", 0.01)
    caplog.set_level("INFO")
    mqtt = Mqtt(broker="embedded", port=0)
    sinks = SharedSinks(CamerasConfig(cameras=CAMERAS, mqtt=mqtt), "shop")
    sinks.start()
    config = Config(mqtt=mqtt, outbox=Outbox(enabled=False), jsonl=Jsonl(enabled=True, path=str(tmp_path / "e.jsonl")))
    opened = [
        sinks.open(name, config, replace(IDENTITY, device_id=f"shop-{name}"), Control(config)) for name in CAMERAS
    ]
    sinks.serve()
    ports = set()
    for publishing, writing in opened:
        assert isinstance(publishing, MqttSink)
        assert isinstance(writing, JsonlSink)
        wait_for(partial(getattr, publishing, "settled"), "all is said")
        ports.add(publishing.port)
    assert len(ports) == 1
    assert f"embedded broker on 127.0.0.1:{ports.pop()}, events on fer-edge/shop-<camera>/event" in caplog.text
    for sink in (sink for each in opened for sink in each):
        sink.close(5)
    sinks.close(5)
