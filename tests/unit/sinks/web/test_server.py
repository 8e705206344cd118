"""sinks/web/server.py: pages that wait, lag, or do not end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from fer_edge.config import Config, Web
from fer_edge.errors import SinkError
from fer_edge.settings.control import Control
from fer_edge.settings.overrides import Answer
from fer_edge.sinks.web.server import PageServer, listen
from fer_edge.sinks.web.sink import WebSink
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import IDENTITY
from tests.support.threads import wait_for_end_of
from tests.support.web_helpers import SECONDS, Site, serving


@contextmanager
def closing_sink(sink: WebSink) -> Iterator[None]:
    try:
        yield
    finally:
        sink.close(5)


def test_a_change_that_has_no_room_is_refused_to_the_page_that_asked() -> None:
    config = Config(web=Web(enabled=True, port=0))
    control = Control(config)  # not started: nobody carries out what waits
    while control.set("events.enter", b"0.8", lambda _: None):
        pass
    sink = WebSink(config, IDENTITY, control)
    sink.close(5)  # before it was started: nothing to end
    sink.start()
    with closing_sink(sink), Site(sink, control).page() as page:
        page.receive("hello")
        for message, key in (
            ({"type": "set", "key": "events.enter", "value": 0.7}, "events.enter"),
            ({"type": "keep"}, ""),
            ({"type": "draw", "zones": {}, "region": None}, "shapes"),
        ):
            page.say(**message)
            answer = page.receive("reply")
            assert (answer["key"], answer["problem"]) == (key, "too many changes wait; try again")


def test_a_page_that_is_far_behind_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sinks.web.viewers.BEHIND", 0)
    with serving(tmp_path) as site, site.page() as page:
        assert page.closed() == 1013


def test_pictures_that_cannot_be_read_are_one_line_on_their_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: Path) -> None:
        raise PermissionError(13, "Permission <denied>")

    monkeypatch.setattr("fer_edge.sinks.web.gallery.pictures_in", unreadable)
    with serving(tmp_path, images=True) as site:
        answer, text = site.ask("/pictures")
    assert answer.status == 200
    assert "The pictures cannot be read: Permission &lt;denied&gt;." in text


def test_settings_change_while_nobody_looks(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        answers: list[Answer] = []
        site.control.set("events.enter", b"0.8", answers.append)
        wait_for(lambda: answers, "the answer")
        with site.page() as page:
            assert page.setting("events.enter", page.receive("hello"))["value"] == 0.8


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_host_that_cannot_be_a_name_is_one_line(host: str) -> None:
    with pytest.raises(SinkError, match=r"^web: cannot listen on a.*: not an address of this machine; check web.host$"):
        listen(Web(enabled=True, host=host))


def test_a_failure_of_what_is_done_every_second_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async def never_asked(scope: Scope, receive: Receive, send: Send) -> None:
        """No page is open."""

    def fail() -> None:
        raise ValueError("no health")

    ended: list[bool] = []
    server = PageServer(Web(enabled=True, port=0))
    server.open()
    server.every_second(fail, at_end=lambda: ended.append(True))
    server.serve(never_asked)
    wait_for(lambda: ended, "its end")
    wait_for_end_of("web")
    assert "the web sink has stopped: ValueError('no health')" in caplog.messages


def test_a_server_whose_pages_do_not_end_is_ended() -> None:
    asked: list[Scope] = []

    async def never_ready(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        await asyncio.Event().wait()

    server = PageServer(Web(enabled=True, port=0))
    server.stop()
    server.close(5)  # it never served
    server.open()
    server.serve(never_ready)
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as asking:
        asking.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        wait_for(lambda: asked, "it has the request")
        server.close(0.1)
    wait_for_end_of("web")
