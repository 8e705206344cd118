"""A run whose passwords are marked: none of the marks comes out of it, whatever it writes, sends or is asked."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from fer_edge.testing.brokers import SECONDS, Mosquitto, Recorder, free_port, wait_for
from tests.support.mjpeg_server import MjpegServer
from tests.support.paths import ROOT

COMMAND = (sys.executable, "-m", "fer_edge")
DEVICE = f"secrets-{os.getpid()}"
CAMERA, QUERY, BROKER, TOKEN = "mark-Camera7", "mark-Path7", "mark-Broker7", "mark-Token7-of-the-page"
MARKS = (CAMERA, QUERY, BROKER, TOKEN)
FORMS = [form for mark in MARKS for form in (mark, base64.b64encode(mark.encode()).decode().rstrip("=")[:-1])]


def source_of(url: str) -> str:
    """An address with a password before its host, and one in its path as cheap cameras have it."""
    return url.replace("://", f"://viewer:{CAMERA}@").replace("/video", f"/user=admin&password={QUERY}&stream=0.sdp")


def config_in(folder: Path, source: str, broker: int, page: int) -> Path:
    for name, secret in (("broker", BROKER), ("token", TOKEN)):
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    path = folder / "config.yaml"
    path.write_text(
        f"device: {{id: {DEVICE}}}\n"
        f"camera: {{backend: stream, source: '{source}', timeout_seconds: 1}}\n"
        f"mqtt: {{port: {broker}, username: fer, password_file: {folder}/broker}}\n"
        f"web: {{enabled: true, port: {page}, token_file: {folder}/token}}\n"
        "privacy: {images: true}\npictures: {enabled: true, at: [start]}\n"
        "stats: {interval_seconds: 0.2}\nreadings: {enabled: true}\nhistory: {enabled: true}\n"
        f"jsonl: {{enabled: true, path: {folder}/events.jsonl}}\nlog: {{level: debug}}\n"
        f"state: {{folder: {folder}/state}}\n"
    )
    return path


def fetched(port: int, path: str, *, cookie: str = "", form: dict[str, str] | None = None) -> tuple[str, str]:
    """The body of an answer with its head, and the cookie that it set."""
    data = urllib.parse.urlencode(form).encode() if form else None
    headers = {"Cookie": cookie} if cookie else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return f"{answer.headers}{answer.read()!r}", ""
    except urllib.error.HTTPError as error:
        set_cookie = error.headers.get("Set-Cookie", "")
        return f"{error.headers}{error.read()!r}", set_cookie.partition(";")[0]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer to the login is looked at itself."""

    def redirect_request(self, *_: object) -> None:
        """Go nowhere."""


def page_says(port: int) -> Iterator[str]:
    """Everything that a viewer gets: refused, logged in, live."""
    wait_for(lambda: opens(port), "the page listens")
    for path in ("/", "/login", "/session", "/pictures", "/nowhere"):
        yield fetched(port, path)[0]
    yield fetched(port, "/login", form={"token": "wrong"})[0]
    output, cookie = fetched(port, "/login", form={"token": TOKEN})
    yield output
    assert cookie
    for path in ("/", "/session", "/pictures", "/static/page.js"):
        yield fetched(port, path, cookie=cookie)[0]
    with connect(f"ws://127.0.0.1:{port}/live", additional_headers={"Cookie": cookie}, proxy=None) as live:
        live.send('{"type":"next"}')
        for _ in range(4):
            yield repr(live.recv(timeout=SECONDS))


def opens(port: int) -> bool:
    try:
        return bool(fetched(port, "/session")[0])
    except OSError:
        return False


def ran(*arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=2 * SECONDS, check=False
    )
    return done.stdout + done.stderr


def marks_in(reported: str) -> list[str]:
    return [form for form in FORMS if form in reported]


def contents(folder: Path) -> dict[str, str]:
    """What stands in a folder's files."""
    return {str(path): path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()}


def asked(config: Path, page: int, seen: Recorder) -> dict[str, str]:
    """What a running daemon says to whoever asks."""
    seen.wait("info")
    reported = {"page": "".join(page_says(page))}
    for what in ("set/camera/source", "request/reload", "request/state", "request/snapshot", "snapshot/set"):
        seen.publish(f"fer-edge/{DEVICE}/{what}", "{}")
    seen.wait("stats", 3)
    reported["check"] = ran("check", "-c", str(config))
    return reported


def test_no_mark_comes_out_of_a_run(tmp_path: Path) -> None:
    page, log = free_port(), tmp_path / "log"
    with (
        Mosquitto.with_password(tmp_path / "mosquitto", "fer", BROKER) as broker,
        MjpegServer(mood_after=(150, "hang up")) as camera,
        Recorder(broker.port, topic="#", user=("fer", BROKER)) as seen,
        log.open("w") as written,
    ):
        config = config_in(tmp_path, source_of(camera.url), broker.port, page)
        command = [*COMMAND, "run", "-c", str(config)]
        with subprocess.Popen(command, stderr=written, stdout=written, cwd=ROOT) as daemon:
            try:
                reported = asked(config, page, seen)
                wait_for(lambda: "trying to open it again" in log.read_text(), "the camera is lost")
                reported["process"] = Path(f"/proc/{daemon.pid}/cmdline").read_text()
            finally:
                daemon.send_signal(signal.SIGTERM)
        reported["mqtt"] = repr([(message.topic, message.payload) for message in seen.messages])
    report = ran("report", "-c", str(config), "--since", "today", "-o", str(tmp_path / "state" / "report.html"))
    reported |= {"log": log.read_text(), "report": report, **contents(tmp_path / "state")}
    assert f"{DEVICE}/info" in reported["mqtt"]
    assert "http://***@127.0.0.1" in reported["log"]
    assert {name: marks_in(text) for name, text in reported.items() if marks_in(text)} == {}


@pytest.mark.parametrize("mood", ["there", "away"])
def test_nor_out_of_an_offline_run(mood: str, tmp_path: Path) -> None:
    names = {"csv": "a.csv", "jsonl": "a.jsonl", "report": "a.html", "events": "e.jsonl", "video": "a.mp4"}
    outputs = [argument for name, file in names.items() for argument in (f"--{name}", str(tmp_path / file))]
    with MjpegServer(mood_after=(20, "hang up")) as camera:
        url = camera.url if mood == "there" else f"http://127.0.0.1:{free_port()}/video"
        output = ran("analyze", source_of(url), *outputs)
    assert "http://***@127.0.0.1" in output
    reported = {"output": output, **contents(tmp_path)}
    assert len(reported) > 3
    assert {name: marks_in(text) for name, text in reported.items() if marks_in(text)} == {}
