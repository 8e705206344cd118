"""Zones and the region, drawn on the live page in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fer_edge.testing.brokers import wait_for
from tests.support.axe import axe_source, violations
from tests.support.browser import CHROMIUM, REASON, complaints
from tests.support.scenes import fed
from tests.support.web_helpers import SECONDS, Site

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)
expect.set_options(timeout=SECONDS * 1e3)


def begin(page: Page, site: Site) -> None:
    page.goto(f"http://{site.host}/")
    expect(page.locator("#link-text")).to_have_text("Live")
    page.get_by_text("Zones and region").click()


def points(site: Site, zone: str) -> list[tuple[float, float]]:
    found = site.control.config.zones.get(zone)
    return [(round(x, 2), round(y, 2)) for x, y in found.points] if found else []


def drag(page: Page, corner: int, to: tuple[float, float]) -> None:
    """Move a corner with the mouse to a place of the picture, 0..1."""
    page.locator(".corner").nth(corner).hover()
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + to[0] * box["width"], box["y"] + to[1] * box["height"], steps=4)
    page.mouse.up()


def test_a_zone_is_drawn_with_the_pointer(page: Page, tmp_path: Path) -> None:
    found = complaints(page)
    with fed(tmp_path, count=1, images=True) as site:
        begin(page, site)
        page.get_by_role("button", name="New zone").click()
        page.get_by_label("Name", exact=True).fill("door")
        drag(page, 0, (0.1, 0.2))
        drag(page, 2, (2.0, 0.9))  # beyond the picture's edge
        box = page.locator("#drawing").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.15 * box["width"], box["y"] + 0.6 * box["height"])
        expect(page.locator(".corner")).to_have_count(5)
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#shape-list")).to_contain_text("Zone door: 5 corners")
        expect(page.locator("#drawing")).to_be_hidden()
        assert points(site, "door") == [(0.1, 0.2), (0.7, 0.3), (1.0, 0.9), (0.3, 0.7), (0.15, 0.6)]
        other = page.context.new_page()
        other.goto(f"http://{site.host}/")
        expect(other.locator("#shape-list")).to_contain_text("Zone door")
        other.close()
        page.get_by_role("button", name="Edit door").click()
        page.get_by_label("Name", exact=True).fill("exit")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#shape-list")).to_contain_text("Zone exit: 5 corners")
        assert list(site.control.config.zones) == ["exit"]
        page.get_by_role("button", name="Delete exit").click()
        wait_for(lambda: not site.control.config.zones, "it is gone")
        assert found == []


def test_a_zone_is_drawn_with_the_keyboard(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path) as site:
        begin(page, site)
        page.get_by_role("button", name="New zone").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("till")
        for _ in range(20):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.className") == "corner":
                break
        expect(page.locator(".corner").last).to_be_focused()
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("ArrowDown")
        moved = re.compile("Corner 4 of 4: 25.% from the left, 71.% from")
        expect(page.get_by_role("button", name=moved)).to_be_visible()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Delete")
        expect(page.locator(".corner")).to_have_count(3)
        page.keyboard.press("Delete")
        expect(page.locator(".corner")).to_have_count(3)  # fewer are no zone
        page.get_by_label("Name", exact=True).focus()
        page.keyboard.press("Enter")
        wait_for(lambda: points(site, "till") == [(0.3, 0.3), (0.7, 0.3), (0.25, 0.71)], "it is in force")


def test_the_region_is_drawn_and_goes_back(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path) as site:
        begin(page, site)
        page.get_by_role("button", name="Edit region").click()
        expect(page.locator(".corner")).to_have_count(2)
        drag(page, 0, (0.9, 0.5))
        drag(page, 1, (0.2, 1.0))  # beyond the other one: they change sides
        page.get_by_role("button", name="Apply").click()
        wait_for(lambda: [round(x, 2) for x in site.control.config.detector.region] == [0.2, 0.5, 0.9, 1.0], "in force")
        expect(page.locator("#shape-list")).to_contain_text("Region: 20\u00a0% to 90\u00a0% across")
        page.get_by_role("button", name="Back to config.yaml").click()
        expect(page.locator("#shape-list")).to_contain_text("Region: the whole picture")


def test_what_is_no_zone_is_refused_and_stays_to_be_mended(page: Page, tmp_path: Path) -> None:
    with fed(tmp_path) as site:
        begin(page, site)
        page.get_by_role("button", name="New zone").click()
        page.get_by_label("Name", exact=True).fill("door")
        drag(page, 0, (0.9, 0.6))
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#shape-problem")).to_contain_text("crosses or touches side")
        expect(page.locator(".corner")).to_have_count(4)
        page.locator(".corner").first.press("Escape")
        expect(page.locator("#drawing")).to_be_hidden()
        assert site.control.config.zones == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_nothing_while_drawing(page: Page, tmp_path: Path, scheme: str) -> None:
    if axe_source() is None:
        pytest.skip("axe-core cannot be fetched: npm is missing, or the network")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    with fed(tmp_path, count=3, images=True) as site:
        begin(page, site)
        page.get_by_role("button", name="New zone").click()
        assert violations(page) == []
        for index in range(4):
            assert page.evaluate(
                "(index) => { const corner = document.querySelectorAll('.corner')[index];"
                "const { x, y, width, height } = corner.getBoundingClientRect();"
                "return document.elementFromPoint(x + width / 2, y + height / 2) === corner; }",
                index,
            )
