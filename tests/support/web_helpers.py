"""A live page served for tests, and what speaks to it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fer_edge.config import Alert, Config, Mqtt, Privacy, Web
from fer_edge.records import Box, FaceState, Image, Track, Update
from fer_edge.settings.control import Control
from fer_edge.sinks.web.sink import WebSink
from tests.support.face_events import IDENTITY, face_event
from tests.support.samples import frame_of, reading

TOKEN = "0123456789abcdef-the-token"
SECONDS = 30.0
JPEG = b"\xff\xd8"
RULE = Alert(expressions=("happiness",))


def update_of(image: Image, *, seq: int = 0, **changes: Any) -> Update:
    """An update with one happy face, just taken."""
    frame = replace(frame_of(image, seq=seq), taken_ns=time.monotonic_ns())
    one = reading(Box(20, 10, 60, 60))
    track = Track(3, one.face.box, one.landmarks, one.quality, one.expression, frame.taken_ns, frame.taken_ns, 1, 0)
    return replace(Update(frame, faces=(FaceState(track, "happiness", None),)), **changes)


def bright() -> Image:
    """A picture that no drawing code would make."""
    return np.full((96, 128, 3), 200, np.uint8)


def event_of(seq: int, **changes: Any) -> Update:
    return update_of(bright(), events=(face_event(seq, **changes),))


class Site:
    """The running sink as its tests use it."""

    def __init__(self, sink: WebSink, control: Control) -> None:
        self.sink, self.control = sink, control
        self.host = f"127.0.0.1:{sink.port}"

    def ask(
        self, path: str, *, method: str = "GET", body: str | None = None, encoding: str = "utf-8", **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """An answer and its body. `headers` with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.sink.port, timeout=SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer, answer.read().decode(encoding)
        finally:
            connection.close()

    def page(self, **options: Any) -> Page:
        """An open page that has said nothing yet."""
        return Page(connect(f"ws://{self.host}/live", open_timeout=SECONDS, proxy=None, **options))


class Page:
    """A page's end of the websocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._passed: list[dict[str, Any]] = []  # answers and news that came before what was waited for

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def receive(self, kind: str) -> dict[str, Any]:
        """The next message of a kind. Of news, settings and replies none is missed; the rest is passed over."""
        for message in self._passed:
            if message["type"] == kind:
                self._passed.remove(message)
                return message
        end = time.monotonic() + SECONDS
        while True:
            item = self.connection.recv(timeout=max(0.01, end - time.monotonic()))
            message = json.loads(item) if isinstance(item, str) else {"type": "picture"}
            if message["type"] == kind:
                return dict(message)
            if message["type"] in ("news", "settings", "reply"):
                self._passed.append(message)

    def picture(self) -> bytes:
        """The next picture."""
        end = time.monotonic() + SECONDS
        while True:
            item = self.connection.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(item, bytes):
                return item

    def closed(self) -> int:
        """The code with which the daemon closes the page; what comes before is passed over."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                self.connection.recv(timeout=SECONDS)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 0
        raise TimeoutError

    def setting(self, key: str, message: dict[str, Any]) -> dict[str, Any]:
        """One threshold of a message that has groups."""
        return next(each for group in message["groups"] for each in group["settings"] if each["key"] == key)


@contextmanager
def serving(tmp_path: Path, *, images: bool = False, mqtt: bool = False, **settings: Any) -> Iterator[Site]:
    """A page on any free port, with a control that keeps its changes in tmp_path."""
    config = Config(
        web=Web(**{"enabled": True, "port": 0, "max_fps": 60.0, **settings}),
        privacy=Privacy(images=images),
        mqtt=Mqtt(enabled=mqtt),
        alerts={"cheer": RULE},
    )
    control = Control(config, folder=tmp_path)
    sink = WebSink(config, IDENTITY, control)
    sink.start()
    control.start()
    try:
        yield Site(sink, control)
    finally:
        sink.close(5.0)
        control.close()
