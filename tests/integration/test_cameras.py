"""Several cameras in one daemon, from outside: the process, a real mosquitto, and the live page in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from fer_edge.__main__ import main
from fer_edge.testing.brokers import SECONDS, Mosquitto, Recorder, free_port, wait_for
from tests.support.axe import axe_source, violations
from tests.support.browser import CHROMIUM, REASON, complaints
from tests.support.mjpeg_server import MjpegServer
from tests.support.web_helpers import TOKEN

ID = f"shop-{os.getpid()}"
DEMO = {"backend": "replay", "source": "demo:astronaut", "loop": True}


def settings(folder: Path, broker: int, *, cameras: dict[str, Any] | None = None, **sections: Any) -> Path:
    """A config.yaml with two cameras; JSON is YAML."""
    file = folder / "config.yaml"
    own = {"cameras": cameras or {"front": DEMO, "back": DEMO}, "device": {"id": ID}}
    common = {"mqtt": {"broker": "127.0.0.1", "port": broker}, "state": {"folder": str(folder / "state")}}
    file.write_text(json.dumps(own | common | sections))
    return file


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[str]]:
    """`fer-edge run`, which is asked to end with the block."""
    command = [sys.executable, "-m", "fer_edge", "run", "-c", str(config)]
    with (config.parent / "log").open("a") as log:
        process = subprocess.Popen(command, stderr=log, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(SECONDS)


def events(seen: Recorder, camera: str, kind: str = "") -> list[dict[str, Any]]:
    """The events of a camera, of a kind, as they came; those that came again once."""
    reported = map(json.loads, seen.of(f"{ID}-{camera}/event"))
    once = {(event["boot_id"], event["seq"]): event for event in reported}
    return [event for event in once.values() if kind in ("", event["event_type"])]


def wait_for_faces(seen: Recorder, kind: str = "start") -> None:
    """Until both cameras have told such an event."""
    for camera in ("front", "back"):
        wait_for(partial(events, seen, camera, kind), f"{camera}: {kind}")


def wait_for_ends(seen: Recorder) -> None:
    """Until every face that both cameras have told of so far has ended."""
    for camera in ("front", "back"):
        begun = faces(seen, camera, "start")
        wait_for(partial(lambda camera, begun: faces(seen, camera, "end") >= begun, camera, begun), f"{camera}: ends")


def faces(seen: Recorder, camera: str, kind: str) -> Counter[tuple[str, int]]:
    """How often each face of a camera had such an event."""
    return Counter((event["boot_id"], event["track_id"]) for event in events(seen, camera, kind))


def test_each_camera_has_a_subtree_of_its_own_and_a_clean_stop_ends_the_faces_of_both(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        with Recorder(broker.port, topic="homeassistant/#") as reported:
            with daemon(settings(tmp_path, broker.port)) as process:
                wait_for_faces(seen)
                for camera in ("front", "back"):
                    seen.wait_last(f"{ID}-{camera}/camera/availability", b"online")
                    seen.wait(f"{ID}-{camera}/info")
            assert process.returncode == 0
            devices = [json.loads(payload)["dev"] for payload in reported.of("config") if payload]
            above = {device["name"]: device.get("via_device") for device in devices}
            hub = f"fer-edge-{ID}"
            assert above == {f"fer-edge {ID}": None, f"fer-edge {ID}-front": hub, f"fer-edge {ID}-back": hub}
        for camera in ("front", "back"):
            seen.wait_last(f"{ID}-{camera}/availability", b"offline")
            assert faces(seen, camera, "start") == faces(seen, camera, "end")
            assert {event["device_id"] for event in events(seen, camera)} == {f"{ID}-{camera}"}
        subtrees = {message.topic.split("/")[1] for message in seen.messages}
        assert subtrees == {f"{ID}-front", f"{ID}-back"}


def test_a_restart_after_a_kill_ends_each_face_of_both_once(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        config = settings(tmp_path, broker.port)
        with daemon(config) as process:
            wait_for_faces(seen)
            process.kill()
            process.wait(SECONDS)
        for camera in ("front", "back"):
            seen.wait_last(f"{ID}-{camera}/availability", b"offline")  # the will of each
        with daemon(config):
            wait_for_ends(seen)
        for camera in ("front", "back"):
            assert faces(seen, camera, "start") == faces(seen, camera, "end")
            assert set(faces(seen, camera, "end").values()) == {1}
        assert not [message.topic for message in seen.messages if not message.payload], "nothing retained is withdrawn"


def test_a_restart_removes_nothing_from_the_broker_and_a_camera_that_is_gone_is_removed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:

        def removed(seen: Recorder) -> set[str]:
            return {message.topic for message in seen.messages if not message.payload}

        both, alone = {"front": DEMO, "back": DEMO}, {"front": DEMO}
        for _ in range(2):  # each runs, so none is taken for another one's old name
            with Recorder(broker.port, topic="#") as seen:
                with daemon(settings(tmp_path, broker.port, cameras=both)):
                    for camera in both:
                        seen.wait(f"{ID}-{camera}/event")
                assert removed(seen) == set()
        with Recorder(broker.port, topic="#") as seen:
            with daemon(settings(tmp_path, broker.port, cameras=alone)):
                wait_for(lambda: f"fer-edge/{ID}-back/info" in removed(seen), "the camera that is gone")
            assert f"homeassistant/device/fer-edge-{ID}-back/config" in removed(seen)
            assert not [topic for topic in removed(seen) if f"{ID}-back" not in topic]


def test_a_camera_that_dies_and_returns_leaves_the_other_alone(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen, MjpegServer() as yard:
        address = {"backend": "stream", "source": yard.url, "timeout_seconds": 1.0}
        with daemon(settings(tmp_path, broker.port, cameras={"yard": address, "door": DEMO})):
            yard_is = f"{ID}-yard/camera/availability"
            seen.wait_last(yard_is, b"online")
            wait_for(lambda: events(seen, "door", "start"), "a face at the door")
            seen.wait_last(f"{ID}-door/camera/availability", b"online")
            at_the_door = len(seen.of(f"{ID}-door/camera/availability"))
            yard.leave()
            seen.wait_last(yard_is, b"offline")
            before = len(events(seen, "door"))
            wait_for(lambda: len(events(seen, "door")) > before, "the other one goes on")
            yard.come_back()
            seen.wait_last(yard_is, b"online")
            assert seen.of(f"{ID}-door/camera/availability")[at_the_door:] == []


def test_a_request_reaches_the_camera_it_is_for(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port) as seen,
        daemon(settings(tmp_path, broker.port)),
    ):
        for camera in ("front", "back"):
            seen.wait_last(f"{ID}-{camera}/camera/availability", b"online")
            seen.wait(f"{ID}-{camera}/config/events/enter")
        seen.publish(f"fer-edge/{ID}-front/set/camera/paused", "true")
        seen.wait_last(f"{ID}-front/camera/availability", b"offline")
        status = f"{ID}-front/camera/status"
        wait_for(lambda: json.loads(seen.of(status)[-1])["state"] == "paused", "the status, which comes after it")
        before = len(events(seen, "back"))
        wait_for(lambda: len(events(seen, "back")) > before, "the other one goes on")
        assert seen.of(f"{ID}-back/camera/availability")[-1] == b"online"


def test_the_commands_know_the_cameras(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.commands.forget.REMOVE_SECONDS", 0.1)  # there is no Home Assistant here
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        config = settings(tmp_path, broker.port, history={"enabled": True})
        assert main(["check", "-c", str(config)]) == 0
        output = capsys.readouterr().out
        assert "front: replay demo:astronaut delivers 640x480 px" in output
        assert "back: replay demo:astronaut delivers 640x480 px" in output
        with daemon(config):
            wait_for_faces(seen, "end")
            assert main(["watch", "--camera", "back", "--lines", "--for", "2", "-c", str(config)]) == 0
            watched = capsys.readouterr().out
            assert f"{ID}-front" not in watched
        assert main(["report", "--since", "1h", "-c", str(config)]) == 1
        assert "expected --camera with one of front, back" in capsys.readouterr().err
        main(["report", "--since", "1h", "--camera", "back", "-c", str(config)])
        output = "".join(capsys.readouterr())
        assert f"{ID}-back" in output  # its history, which may not have a whole minute yet
        assert f"{ID}-front" not in output
        assert main(["report", "--camera", "cellar", "-c", str(config)]) == 1
        assert "--camera 'cellar': expected one of front, back" in capsys.readouterr().err
        assert main(["forget", "--camera", "front", "-c", str(config)]) == 0
        assert f"{ID}-back" not in capsys.readouterr().out
        assert main(["forget", "-c", str(config)]) == 0
        output = capsys.readouterr().out
        assert f"{ID}-front at 127.0.0.1:{broker.port}: nothing was kept of it" in output
        assert f"{ID}-back at 127.0.0.1:{broker.port}: topics removed" in output
        assert f"{ID} at 127.0.0.1:{broker.port}: topics removed: 1" in output  # the daemon's device in Home Assistant


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
@pytest.mark.parametrize("width", [390, 1440])
def test_one_page_shows_all_cameras_and_leads_to_each(page: Page, tmp_path: Path, width: int) -> None:
    port = free_port()
    page.set_viewport_size({"width": width, "height": 844})
    output = complaints(page)
    web = {"enabled": True, "port": port}
    config = settings(tmp_path, 0, privacy={"images": True}, mqtt={"enabled": False}, web=web)
    with daemon(config) as process:
        wait_for(lambda: "the live page is at" in (tmp_path / "log").read_text() or process.poll(), "the page")
        page.goto(f"http://127.0.0.1:{port}/")
        for camera in ("front", "back"):
            card = page.locator(f"[data-camera={camera}]")
            expect(card.locator(".link-text")).to_have_text("Live")
            expect(card.locator(".seen")).to_contain_text("1 face")
            assert card.locator("canvas").evaluate("canvas => canvas.width") == 640
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("[data-camera=back] a").click()
        expect(page.locator("#device")).to_have_text(f"{ID}-back")
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("#cameras [aria-current=page]")).to_have_text("back")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#cameras a", has_text="front").click()
        expect(page.locator("#device")).to_have_text(f"{ID}-front")
        page.locator("#cameras a", has_text="All cameras").click()
        expect(page.locator("[data-camera=front] .link-text")).to_have_text("Live")
    assert not [line for line in output if "canvas" not in line.lower() and "failed:" not in line]


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_nothing_on_the_overview(page: Page, tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    if axe_source() is None:
        pytest.skip("axe-core cannot be fetched: npm is missing, or the network")
    port = free_port()
    web = {"enabled": True, "port": port}
    page.emulate_media(color_scheme=scheme)
    with daemon(settings(tmp_path, 0, mqtt={"enabled": False}, web=web)) as process:
        wait_for(lambda: "the live page is at" in (tmp_path / "log").read_text() or process.poll(), "the page")
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("[data-camera=back] .link-text")).to_have_text("Live")
        assert violations(page) == []


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_the_overview_says_what_is_wrong_and_counts_alerts(page: Page, tmp_path: Path) -> None:
    port = free_port()
    web = {"enabled": True, "port": port}
    rule = {"expressions": ["happiness", "neutral"], "min_confidence": 0.0, "for_seconds": 0}
    gone = {"backend": "stream", "source": f"http://127.0.0.1:{free_port()}/video"}
    config = settings(
        tmp_path,
        free_port(),
        web=web,
        alerts={"seen": rule},
        cameras={"front": DEMO | {"source": "demo"}, "back": gone},
    )
    with daemon(config) as process:
        wait_for(lambda: "the live page is at" in (tmp_path / "log").read_text() or process.poll(), "the page")
        page.goto(f"http://127.0.0.1:{port}/")
        front, back = (page.locator(f"[data-camera={camera}]") for camera in ("front", "back"))
        expect(front.locator(".link-text")).to_have_text("Not all is well")
        expect(front.locator(".wrong")).to_contain_text("Broker: away")
        expect(front.locator(".notice")).to_have_text("")
        expect(back.locator(".link-text")).to_have_text("No picture")
        expect(back.locator(".notice")).to_contain_text("http://127.0.0.1:")
        for title in (r"^\(1\) fer-edge", "^fer-edge"):
            expect(page).to_have_title(re.compile(title), timeout=SECONDS * 1000)


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_one_token_opens_all_pages(page: Page, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    port = free_port()
    web = {"enabled": True, "port": port, "token_file": str(token)}
    with daemon(settings(tmp_path, 0, mqtt={"enabled": False}, web=web)) as process:
        wait_for(lambda: "the live page is at" in (tmp_path / "log").read_text() or process.poll(), "the page")
        page.goto(f"http://127.0.0.1:{port}/camera/back/")
        expect(page).to_have_url(f"http://127.0.0.1:{port}/camera/back/login")
        page.locator("input[type=password]").fill(TOKEN)
        page.locator("button[type=submit]").click()
        expect(page.locator("#device")).to_have_text(f"{ID}-back")
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("[data-camera=front] .link-text")).to_have_text("Live")
        page.locator("#logout button").click()
        expect(page).to_have_url(f"http://127.0.0.1:{port}/login")
