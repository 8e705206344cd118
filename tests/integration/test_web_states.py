"""The live page in a browser in states that a demo does not reach: what is wrong is said, since when, and what next."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fer_edge.records import AlertState, RateReason, Update
from fer_edge.testing.brokers import wait_for
from tests.support.browser import CHROMIUM, REASON, complaints
from tests.support.face_events import face_event
from tests.support.scenes import CALM, fed
from tests.support.web_helpers import SECONDS, Site, bright, update_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)
expect.set_options(timeout=SECONDS * 1e3)


@contextmanager
def shown(page: Page, tmp_path: Path, *, frames: bool = True, **settings: Any) -> Iterator[Site]:
    """An open page whose daemon sees nobody, or gets no picture."""
    with fed(tmp_path, count=0 if frames else None, **settings) as site:
        page.goto(f"http://{site.host}/")
        yield site


def test_all_is_well(page: Page, tmp_path: Path) -> None:
    message = complaints(page)
    with shown(page, tmp_path, mqtt=True) as site:
        site.control.report("broker", "connected", good=True)
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("#troubles")).to_be_hidden()
        expect(page.locator("#parts li")).to_have_text(["Camera: good", "Broker: good", "Board: good"])
        expect(page.locator("#health .fine")).to_have_count(1)
        assert message == []


def test_a_camera_that_is_away(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path, frames=False) as site:
        expect(page.locator("#troubles")).to_contain_text("Camera: waiting for the first picture")
        expect(page.locator("#link-text")).to_have_text("No picture")
        site.control.report("camera", "no such device: /dev/video0", retry_at=time.monotonic() + 100)
        site.sink.submit(Update(None))
        line = page.locator("#troubles li:visible")
        expect(line).to_have_text(
            re.compile(r"Camera: no such device: /dev/video0 since \d\d:\d\d:\d\d \(\d+\ss\); tried again in .*\ss")
        )
        expect(page.locator("#link")).to_have_class("pill bad")
        expect(page.locator("#gaps-text")).to_have_text(re.compile("daemon not running.*camera away for .*, still"))
        expect(page.locator("#journal")).to_contain_text("The camera is away: no such device: /dev/video0")
        expect(page.locator("#nobody")).to_have_text("Not known: there is no picture.")
        site.control.report("camera", "", good=True)
        site.sink.submit(update_of(bright(), faces=()))
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("#troubles")).to_be_hidden()
        expect(page.locator("#journal")).to_contain_text("The camera is back")
        expect(page.locator("#gaps-text")).to_contain_text(re.compile("camera away for .* until .* ago"))


def test_an_attempt_under_way(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path, mqtt=True) as site:
        site.control.report("broker", "away: connection refused", retry_at=time.monotonic() - 1)
        expect(page.locator("#troubles")).to_contain_text("being tried now")


def test_a_broker_that_is_away(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path, mqtt=True) as site:
        expect(page.locator("#troubles")).to_contain_text("Broker: connecting")
        site.control.report("broker", "away: connection refused", retry_at=time.monotonic() + 100)
        expect(page.locator("#troubles li:visible")).to_have_text(
            re.compile(r"Broker: away: connection refused since .*; tried again in .*\ss")
        )
        expect(page.locator("#link-text")).to_have_text("Not all is well")
        expect(page.locator("#parts li").nth(1)).to_have_text("Broker: needs attention")
        expect(page.locator("#nobody")).to_have_text("Nobody is in view.")


def test_a_board_that_suffers(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path, frames=False) as site:
        site.sink.submit(update_of(bright(), stats=replace(CALM, throttled=1, rate_reason=RateReason.UNDER_VOLTAGE)))
        expect(page.locator("#troubles")).to_contain_text(
            re.compile(
                "Board: under-voltage now; fewer frames are analysed: weak power supply since .*; read again in "
            )
        )


def test_a_paused_camera_is_not_live(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path) as site:
        expect(page.locator("#link-text")).to_have_text("Live")
        site.control.set("camera.paused", b"true", lambda _: None)
        expect(page.locator("#troubles")).to_contain_text("Camera: paused: the camera is closed (camera.paused)")
        expect(page.locator("#link-text")).to_have_text("No picture")


def test_latency_is_coloured_by_what_is_normal(page: Page, tmp_path: Path) -> None:
    with shown(page, tmp_path, frames=False) as site:
        slow = update_of(bright(), faces=(), stats=replace(CALM, target_fps=10.0))
        frame = slow.frame
        assert frame is not None
        for lag_s, tone in ((0.4, "slow"), (2.0, "bad"), (0.0, "fine")):
            expect(page.locator("#health span.fine, #health span.slow, #health span.bad")).to_have_count(0)
            late = replace(frame, taken_ns=time.monotonic_ns() - round(lag_s * 1e9))
            site.sink.submit(replace(slow, frame=late))
            expect(page.locator(f"#health span.{tone}")).to_contain_text("ms")


def test_sound_and_notification_are_off_until_asked_for(page: Page, tmp_path: Path) -> None:
    page.add_init_script(
        "window.notified = []; window.Notification = class { static permission = 'default';"
        "static async requestPermission() { this.permission = 'granted'; return 'granted'; }"
        "constructor(title, { body }) { window.notified.push(`${title}; ${body}`); } };"
    )
    alert = AlertState("cheer", True, time.monotonic_ns(), ("happiness",), 2, (3, 5))
    off = replace(alert, on=False, faces=0, track_ids=())
    with shown(page, tmp_path) as site:
        expect(page.locator("#link-text")).to_have_text("Live")
        site.sink.submit(update_of(bright(), alerts=(alert,)))
        expect(page.locator("#alerts")).to_have_text(re.compile("Alert cheer is on since .*: faces #3, #5 for "))
        assert page.evaluate("[window.notified.length, document.documentElement.dataset.beeps]") == [0, None]
        page.evaluate("document.querySelector('#alerts li').dataset.first = 'yes'")
        site.sink.submit(update_of(bright(), events=(face_event(1),)))
        expect(page.locator("#journal")).to_contain_text("Face #7")
        expect(page.locator("#alerts li")).to_have_attribute("data-first", "yes")  # else it would be read out again
        site.sink.submit(update_of(bright(), alerts=(off,)))
        expect(page.locator("#alerts")).to_be_hidden()
        page.get_by_label("Sound").check()
        page.get_by_label("Notification").check()
        expect(page.locator("html")).to_have_attribute("data-beeps", "1")  # to hear how it sounds
        site.sink.submit(update_of(bright(), alerts=(alert,)))
        wait_for(lambda: page.evaluate("window.notified.length") == 1, "it is notified")
        assert re.fullmatch("Alert cheer is on; fer-edge .*: faces #3, #5", page.evaluate("window.notified[0]"))
        expect(page.locator("html")).to_have_attribute("data-beeps", "2")
        page.reload()
        expect(page.locator("#alerts")).to_be_visible()
        expect(page.get_by_label("Sound")).to_be_checked()
        assert page.evaluate("window.notified.length") == 0, "it is no news to a page that begins"


def test_a_refused_notification_says_so(page: Page, tmp_path: Path) -> None:
    page.add_init_script("window.Notification = class { static permission = 'denied'; };")
    with shown(page, tmp_path):
        page.get_by_label("Notification").click()
        expect(page.locator("#notify-problem")).to_contain_text("Not allowed")
        expect(page.get_by_label("Notification")).not_to_be_checked()
