"""The live page's layout in a browser: nothing is covered, nothing is lost, and axe-core finds nothing wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fer_edge.config import Pictures
from fer_edge.records import AlertState, RateReason, Update
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, PictureRing, pictures_in
from tests.support.axe import VERSION, axe_source, violations
from tests.support.browser import CHROMIUM, REASON
from tests.support.face_events import face_event
from tests.support.scenes import CALM, fed, scene
from tests.support.web_helpers import SECONDS, TOKEN, Site

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)
expect.set_options(timeout=SECONDS * 1e3)

OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"


def look(page: Page, site: Site, faces: int) -> None:
    """Open the page; it shows so many faces, and every section."""
    page.goto(f"http://{site.host}/")
    expect(page.locator("#link-text")).to_have_text("Live")
    expect(page.locator(".card")).to_have_count(faces)
    page.locator(".settings details").first.wait_for()
    page.evaluate(OPEN_ALL)


COVERED = """() => [...document.querySelectorAll("button, input, summary")].filter((control) => {
    if (!control.getClientRects().length || control.disabled) return false;
    control.scrollIntoView({ block: "nearest", behavior: "instant" });
    const { x, y, width, height } = control.getBoundingClientRect();
    const found = document.elementFromPoint(x + width / 2, y + height / 2);
    return !(found && (control.contains(found) || found.contains(control) && found.tagName === "LABEL"));
}).map((control) => control.outerHTML)"""


@pytest.mark.parametrize("faces", [0, 1, 3])
def test_nothing_covers_a_control(page: Page, tmp_path: Path, faces: int) -> None:
    with fed(tmp_path, count=faces, images=True) as site:
        look(page, site, faces)
        for width in (390, 768, 1024, 1440, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            for top in ("0", "document.body.scrollHeight"):
                page.evaluate(f"scrollTo(0, {top})")
                assert page.evaluate(COVERED) == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def box(page: Page, where: str) -> dict[str, float]:
    found = page.locator(where).bounding_box()
    assert found is not None
    return {"x": found["x"], "y": found["y"], "width": found["width"], "height": found["height"]}


@pytest.mark.parametrize("faces", [0, 1, 3])
def test_no_area_is_dead(page: Page, tmp_path: Path, faces: int) -> None:
    """The panels of both columns follow one another, and end together; cards fill their panel."""
    page.set_viewport_size({"width": 1440, "height": 900})
    with fed(tmp_path, count=faces, images=True) as site:
        look(page, site, faces)
        expect(page.locator("#picture")).to_have_attribute("height", "360")
        panels = {name: box(page, f".panel.{name}") for name in ("picture", "timeline", "faces", "journal")}
        for upper, lower in (("picture", "timeline"), ("faces", "journal")):
            assert panels[lower]["y"] - panels[upper]["y"] - panels[upper]["height"] <= 17
        ends = [panels[name]["y"] + panels[name]["height"] for name in ("timeline", "journal")]
        assert abs(ends[0] - ends[1]) <= 1
        if faces:
            row = box(page, "#cards")
            last = box(page, ".card >> nth=-1")
            assert last["x"] + last["width"] == pytest.approx(row["x"] + row["width"], abs=1)


def test_thresholds_beside_each_other_are_in_line(page: Page, tmp_path: Path) -> None:
    """However long the explanation of one is."""
    page.set_viewport_size({"width": 1440, "height": 900})
    with fed(tmp_path, count=0) as site:
        look(page, site, 0)
        of_settings = (
            "each => each.map(one => [one, one.querySelector('.line')].map(it => it.getBoundingClientRect().top))"
        )
        tops = page.locator(".setting").evaluate_all(of_settings)
    assert len(tops) > 20
    assert [line - top for top, line in tops] == pytest.approx([0.0] * len(tops), abs=1)


def test_health_is_one_row_and_stands_before_the_thresholds_on_a_phone(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path, images=True) as site:
        look(page, site, 0)
        page.set_viewport_size({"width": 1440, "height": 900})
        tops = page.evaluate("[...document.querySelectorAll('#health > div')].map((each) => each.offsetTop)")
        assert len(set(tops)) == 1
        page.set_viewport_size({"width": 390, "height": 844})
        order = [box(page, f".panel.{name}")["y"] for name in ("picture", "faces", "timeline", "journal", "health")]
        assert order == sorted(order)
        assert box(page, ".panel.settings")["y"] > order[-1]


def test_a_card_shows_the_three_strongest_and_the_rest_on_demand(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path, count=1, images=True) as site:
        look(page, site, 1)
        bars = page.locator(".bars li:visible")
        expect(bars).to_have_count(3)
        expect(bars.first).to_contain_text("happiness")
        page.get_by_role("button", name="All expressions").click()
        expect(bars).to_have_count(8)
        page.get_by_role("button", name="All expressions").click()
        expect(bars).to_have_count(3)
        expect(page.locator(".card .answer")).to_have_text("happiness\u00a093\u00a0%")


def test_the_legend_has_no_zeros(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path, count=1, images=True) as site:
        look(page, site, 1)
        expect(page.locator("#shares")).to_be_hidden()
        begun = face_event(1, track_id=1, expression="happiness", mono_ns=time.monotonic_ns() - 2_000_000_000)
        site.sink.submit(Update(scene(1).frame, events=(begun,)))
        expect(page.locator("#shares li:visible")).to_have_text(["happiness\u00a0100\u00a0%"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_neutral_is_quieter_than_what_a_face_shows(page: Page, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    with fed(tmp_path, count=1, images=True) as site:
        look(page, site, 1)
        contrasts = page.evaluate(CONTRASTS)
        assert contrasts.pop("neutral") < max(contrasts.values())
        if scheme == "dark":
            assert page.evaluate(CONTRASTS)["neutral"] < min(contrasts[name] for name in ("happiness", "surprise"))


CONTRASTS = """() => {
    const style = getComputedStyle(document.documentElement);
    const light = (hex) => {
        const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const of = (name) => light(style.getPropertyValue(name).trim());
    const names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"];
    return Object.fromEntries(names.map((name) => {
        const two = [of(`--of-${name}`), of("--panel")];
        return [name, Math.max(...two) / Math.min(...two)];
    }));
}"""


STATES = ("nobody", "three faces", "alert", "camera away", "troubles", "not connected", "outlines", "all expressions")


def bring_about(page: Page, site: Site, state: str) -> None:
    """Make the page show a state."""
    now = time.monotonic_ns()
    if state == "alert":
        alert = AlertState("cheer", True, now, ("happiness",), 2, (1, 2))
        site.sink.submit(Update(scene(3).frame, events=(face_event(1, mono_ns=now),), alerts=(alert,)))
        expect(page.locator("#alerts")).to_be_visible()
    elif state == "camera away":
        site.control.report("camera", "no such device", retry_at=time.monotonic() + 60)
        site.sink.submit(Update(None))
        expect(page.locator("#troubles")).to_be_visible()
    elif state == "troubles":
        site.control.report("broker", "away: connection refused", retry_at=time.monotonic() + 60)
        hot = AlertState("cheer", True, now, ("happiness",), 1, (1,))
        site.sink.submit(Update(scene(1).frame, alerts=(hot,), stats=CALM_BUT_HOT))
        expect(page.locator("#troubles")).to_contain_text("Broker")
    elif state == "not connected":
        site.sink.close(5.0)
        expect(page.locator("#link-text")).to_have_text("Not connected")
    elif state == "all expressions":
        page.locator("#all").click()


@contextmanager
def in_state(page: Page, tmp_path: Path, state: str) -> Iterator[None]:
    """The page in a state, with every section open."""
    faces = {"nobody": 0, "camera away": None}.get(state, 3)
    with fed(tmp_path, count=faces, images=state != "outlines", mqtt=state == "troubles") as site:
        page.goto(f"http://{site.host}/")
        page.locator(".settings details").first.wait_for()
        expect(page.locator("#link-text")).not_to_have_text("Connecting")
        page.evaluate(OPEN_ALL)
        bring_about(page, site, state)
        yield


CALM_BUT_HOT = replace(CALM, rate_reason=RateReason.HOT)
NO_AXE = f"axe-core {VERSION} cannot be fetched: npm is missing, or the network"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_core_finds_nothing(page: Page, tmp_path: Path, state: str, scheme: str) -> None:
    if axe_source() is None:
        pytest.skip(NO_AXE)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    with in_state(page, tmp_path, state):
        assert violations(page) == []


@pytest.mark.parametrize("state", ["alert", "camera away", "troubles", "not connected", "all expressions"])
def test_nothing_covers_a_control_in_any_state(page: Page, tmp_path: Path, state: str) -> None:
    with in_state(page, tmp_path, state):
        for width in (390, 768, 1024, 1440, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(COVERED) == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_nothing_at_the_login(page: Page, tmp_path: Path, scheme: str) -> None:
    if axe_source() is None:
        pytest.skip(NO_AXE)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with fed(tmp_path, token_file=str(file)) as site:
        page.goto(f"http://{site.host}/login")
        assert violations(page) == []
        page.get_by_label("Token of this device").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        assert violations(page) == []


def taken(folder: Path, *ages_s: float) -> None:
    """Put pictures at alerts there, of so long ago."""
    written, jpeg = cv2.imencode(".jpg", np.full((120, 200, 3), 128, np.uint8))
    assert written
    ring = PictureRing(folder, Pictures(keep_hours=100.0))
    for age_s in ages_s:
        ring.add("alert", jpeg.tobytes(), name="somebody_with_a_name_as_long_as_names_may_be_in_a_configuration")
        newest = pictures_in(folder)[0].path
        newest.rename(newest.with_name(f"{round((time.time() - age_s) * 1000)}{newest.name[13:]}"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_nothing_among_the_pictures(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    if axe_source() is None:
        pytest.skip(NO_AXE)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with fed(tmp_path, images=True) as site:
        page.goto(f"http://{site.host}/pictures")
        expect(page.get_by_role("heading", name="Pictures at events")).to_be_visible()
        assert violations(page) == []
        taken(tmp_path / "kitchen" / PICTURES_FOLDER, 1.0, 2.0, 50 * 3600.0)
        page.reload()
        assert violations(page) == []


def test_pictures_are_found_day_by_day(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    taken(tmp_path / "kitchen" / PICTURES_FOLDER, 50 * 3600.0, 49 * 3600.0 + 59 * 60, 0.0)
    with fed(tmp_path, images=True) as site:
        page.goto(f"http://{site.host}/")
        page.locator(".journal").get_by_role("link", name="Pictures at events").click()
        expect(page.get_by_text("3 pictures, the newest first")).to_be_visible()
        days = page.get_by_role("heading", level=2).all_text_contents()
        assert len(days) == len(set(days)) >= 2
        assert days == sorted(days, key=lambda day: day.split()[-1], reverse=True)
        times = page.locator("figcaption time").evaluate_all("each => each.map(one => one.dateTime)")
        assert times == sorted(times, reverse=True)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="Alert somebody").first.click()
        assert page.url.endswith(".jpg")
        page.go_back()
        page.get_by_role("link", name="Live page").click()
        expect(page.locator("#picture")).to_be_visible()


def test_the_states_stand_in_one_line(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path, count=0) as site:
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(f"http://{site.host}/")
        expect(page.locator("#link-text")).to_have_text("Live")
        assert box(page, "#link")["y"] > box(page, "header h1")["y"]
        shown = [each for each in page.locator("#parts li, #link").all() if each.is_visible()]
        assert len({round((each.bounding_box() or {"y": -1})["y"]) for each in shown}) == 1


def test_log_out_stands_beside_the_name_on_a_phone(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with fed(tmp_path, count=0, token_file=str(file)) as site:
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(f"http://{site.host}/")
        page.get_by_label("Token of this device").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#link-text")).to_have_text("Live")
        name, out, link = (box(page, where) for where in ("header h1", "#logout", "#link"))
        assert out["y"] <= name["y"] <= out["y"] + out["height"]
        assert link["y"] >= out["y"] + out["height"]


def test_axe_core_would_find_something(page: Page, tmp_path: Path) -> None:
    if axe_source() is None:
        pytest.skip(NO_AXE)
    with fed(tmp_path) as site:
        page.goto(f"http://{site.host}/")
        page.evaluate("document.getElementById('keep').textContent = ''")
        assert any(each.startswith("button-name") for each in violations(page))
