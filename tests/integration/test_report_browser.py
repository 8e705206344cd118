"""The report in a browser: on a phone, in the dark, on paper; and axe-core finds nothing wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from fer_edge.commands.notice.content import LANGUAGES, notice
from fer_edge.commands.notice.html import html_page
from fer_edge.commands.report.page import write_report
from fer_edge.commands.report.summary import PictureRow
from fer_edge.config import Config, Models, Privacy
from fer_edge.tracking.minutes import Minute
from tests.support.axe import VERSION, axe_source, violations
from tests.support.browser import CHROMIUM, REASON, complaints
from tests.support.stories import EVENTS, MINUTES, story
from tests.unit.commands.report.test_page import shop

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)

LEAST_TEXT_PX = 9.0
TEXT_SIZES = """() => [...document.querySelectorAll(".chart text")].filter(each => each.checkVisibility())
    .map(each => parseFloat(getComputedStyle(each).fontSize) * each.closest("svg").getScreenCTM().a)"""
COVERING = """() => [...document.querySelectorAll(".chart svg")].filter(each => each.checkVisibility()).flatMap(svg => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter(each => {
        const text = each.getBoundingClientRect();
        return text.left < box.left - 2 || text.right > box.right + 2;
    }).map(each => each.textContent);
})"""
CUT_OFF = """() => [...document.querySelectorAll("[aria-label=differences], [aria-label='figures of both periods']")]
    .filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"""
CONTRAST = """() => getComputedStyle(document.body).backgroundColor + " " + getComputedStyle(
    [...document.querySelectorAll(".chart text")].find(each => each.checkVisibility())).fill"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    of = {"film": [story(MINUTES, EVENTS)], "shop": [shop(1, per_hour=10)]}
    of["compared"] = [shop(2, per_hour=12), shop(1, per_hour=10)]
    for name, stories in of.items():
        write_report(folder / f"{name}.html", stories, Models())
    return {name: folder / f"{name}.html" for name in of}


@pytest.fixture(scope="module")
def notice_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    privacy = Privacy(
        purpose="retail", controller="A shop", contact="ask@example.org", notice_url="https://example.org/"
    )
    path = tmp_path_factory.mktemp("notices") / "notice.html"
    path.write_text(html_page([notice(Config(privacy=privacy), language) for language in LANGUAGES]))
    return path


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_a_notice_is_read_on_a_phone_too(width: int, tab: Page, notice_page: Path) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(notice_page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    if axe_source() is not None:
        assert violations(tab) == []


def test_a_notice_prints_a_page_a_language(tab: Page, notice_page: Path) -> None:
    tab.set_viewport_size({"width": 390, "height": 900})
    tab.emulate_media(media="print")
    tab.goto(notice_page.as_uri())
    heights = tab.evaluate("[...document.querySelectorAll('article')].map(each => each.getBoundingClientRect().height)")
    a4 = 297 / 25.4 * 96
    assert heights == [pytest.approx(a4, abs=1)] * len(LANGUAGES)


@pytest.fixture
def tab(chromium: BrowserContext) -> Iterator[Page]:
    found = chromium.new_page()
    yield found
    found.close()


@pytest.mark.parametrize("name", ["film", "shop", "compared"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (390, "light"), (1440, "dark"), (1440, "light")])
def test_charts_are_read_everywhere(name: str, width: int, scheme: str, tab: Page, pages: dict[str, Path]) -> None:
    found = complaints(tab)
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(pages[name].as_uri())
    sizes = tab.evaluate(TEXT_SIZES)
    assert len(sizes) > 20
    assert min(sizes) >= LEAST_TEXT_PX
    assert tab.evaluate(COVERING) == [], "text that is cut off"
    assert tab.evaluate("document.documentElement.scrollWidth") == width, "the page itself never scrolls sideways"
    assert tab.evaluate(CUT_OFF) == [], "of what has changed all is seen without scrolling"
    dark, light = "rgb(21, 23, 26)", "rgb(255, 255, 255)"
    background, ink = (dark, "rgb(232, 234, 237)") if scheme == "dark" else (light, "rgb(22, 24, 29)")
    assert tab.evaluate(CONTRAST) == f"{background} {ink}"
    assert found == []


def test_print_is_light_and_has_the_charts(tab: Page, pages: dict[str, Path]) -> None:
    tab.emulate_media(media="print", color_scheme="dark")
    tab.goto(pages["shop"].as_uri())
    together = "each => [getComputedStyle(each).breakAfter, each.nextElementSibling.className]"
    leads = tab.evaluate(f"[...document.querySelectorAll('.lead')].map({together})")
    assert {following for after, following in leads if after == "avoid"} <= {"chart", "quiet lead", ""}
    assert any(after == "avoid" for after, _ in leads)
    assert tab.evaluate(CONTRAST).endswith(" rgb(22, 24, 29)")
    assert tab.evaluate("document.querySelectorAll('.on-wide')[0].checkVisibility()")
    assert not tab.evaluate("[...document.querySelectorAll('details')].some(each => each.checkVisibility())")
    assert tab.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("count", [3, 30])
def test_print_has_no_heading_of_nothing(count: int, tab: Page, tmp_path: Path) -> None:
    rows = [PictureRow(f"{number}.jpg", ["neutral"]) for number in range(count)]
    total = Minute(begin_s=0, watched_s=count, most_faces=1, shown_s={"neutral": float(count)})
    write_report(tmp_path / "stills.html", [story([total], pictures=rows, end_s=float(count))], Models())
    tab.emulate_media(media="print")
    tab.goto((tmp_path / "stills.html").as_uri())
    few = count <= 20  # a longer list is closed, and left out on paper
    assert tab.get_by_role("heading", name="Picture by picture").is_visible() is few
    assert tab.get_by_text("2.jpg", exact=True).is_visible() is few


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["film", "shop", "compared"])
def test_axe_core_finds_nothing(name: str, scheme: str, tab: Page, pages: dict[str, Path]) -> None:
    if axe_source() is None:
        pytest.skip(f"axe-core {VERSION} cannot be fetched: npm is missing, or the network")
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.goto(pages[name].as_uri())
    assert violations(tab) == []
