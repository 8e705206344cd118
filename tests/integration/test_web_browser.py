"""The live page in a browser, with the daemon on the built-in demo."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fer_edge.runtime.sealed_file import unseal
from fer_edge.testing.brokers import wait_for
from tests.support.browser import CHROMIUM, REASON, complaints, daemon
from tests.support.web_helpers import SECONDS, TOKEN

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)
expect.set_options(timeout=SECONDS * 1e3)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def look(page: Page, port: int, path: str = "/") -> None:
    """Open the page as soon as the daemon listens."""
    wait_for(lambda: listens(port), "the daemon listens")
    page.goto(f"http://127.0.0.1:{port}{path}")


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def ink(page: Page) -> dict[str, int]:
    """The mean of the picture's lightest channel, and how many of its colours differ, on a grid."""
    found = page.evaluate(
        """() => {
            const canvas = document.getElementById("picture");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let sum = 0, count = 0, black = 0;
            for (let i = 0; i < data.length; i += 4 * 97) {
                const light = Math.max(data[i], data[i + 1], data[i + 2]);
                sum += light; count += 1; black += light < 24;
            }
            return { mean: Math.round(sum / count), black: Math.round(100 * black / count) };
        }"""
    )
    return {str(key): int(value) for key, value in found.items()}


def test_faces_events_and_figures_appear_live(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port):
        found = complaints(page)
        look(page, port)
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator(".card").first).to_contain_text("happiness")
        expect(page.locator("#journal li").first).to_contain_text("Face")
        expect(page.locator("#journal li", has_text="Alert cheer is on").first).to_be_visible()
        expect(page.locator("#health dd").first).to_contain_text("fps")
        expect(page.locator("#shares li", has_text="happiness")).to_have_text(re.compile(r"happiness\s[1-9]"))
        expect(page.locator("#notice")).to_be_empty()
        expect(page.locator("#privacy")).to_be_hidden()
        expect(page.locator("#purpose")).to_have_text("Purpose: research")
        assert found == []  # before the picture is read back, which chromium comments on
        assert ink(page)["mean"] > 60
        assert ink(page)["black"] < 60


def test_without_images_the_picture_is_outlines_on_black(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port, images=False):
        found = complaints(page)
        look(page, port)
        expect(page.locator("#privacy")).to_be_visible()
        expect(page.locator(".card").first).to_be_visible()
        page.wait_for_timeout(500)
        assert found == []
        assert ink(page)["black"] > 80


def test_a_slider_changes_the_config_in_force_and_is_saved(page: Page, port: int, tmp_path: Path) -> None:
    kept = tmp_path / "browser-test" / "tuning.json"
    with daemon(tmp_path, port):
        look(page, port)
        slider = page.get_by_label("Enter threshold", exact=True)
        slider.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        expect(page.locator("#unsaved")).to_have_text("One change lasts until the restart")
        expect(page.get_by_label("Enter threshold, as a number")).to_have_value("0.55")
        assert not kept.exists()
        other = page.context.new_page()
        look(other, port)
        expect(other.get_by_label("Enter threshold", exact=True)).to_have_value("0.55")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#unsaved")).to_have_text("Saved")
        assert json.loads(unseal(kept.read_bytes())) == {"events.enter": 0.55}
        other.get_by_label("Enter threshold, as a number").fill("0.1")
        other.keyboard.press("Tab")
        expect(other.locator(".problem", has_text="expected at most events.enter")).to_be_visible()
        expect(other.get_by_label("Enter threshold", exact=True)).to_have_value("0.55")
        other.get_by_role("button", name="Enter threshold: back to 0.5").click()
        expect(slider).to_have_value("0.5")
        other.close()


def test_a_wrong_token_is_refused(page: Page, port: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with daemon(tmp_path, port, token_file=str(file)):
        look(page, port)
        assert page.url.endswith("/login")
        page.get_by_label("Token of this device").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token of this device").fill(TOKEN)
        found = complaints(page)
        page.keyboard.press("Enter")
        expect(page.locator("#link-text")).to_have_text("Live")
        assert page.evaluate("document.cookie") == ""
        assert found == []
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"http://127.0.0.1:{port}/")
        assert page.url.endswith("/login")


def test_the_page_says_that_the_daemon_is_gone_and_comes_back(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port):
        look(page, port)
        expect(page.locator("#link-text")).to_have_text("Live")
    expect(page.locator("#banner")).to_contain_text("The connection to the daemon is lost")
    expect(page.locator("#link-text")).to_have_text("Not connected")
    expect(page.locator("#nobody")).to_have_text("Not known: there is no connection.")
    expect(page.locator("#health dd").first).to_have_text("–")
    expect(page.locator("#health dd").last).to_have_text("not known")
    with daemon(tmp_path, port):
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#health dd").first).to_contain_text("fps")
        expect(page.locator(".card").first).to_be_visible()


def test_the_keyboard_reaches_everything(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port):
        look(page, port)
        expect(page.locator(".setting").first).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.get_by_label("Enter threshold, as a number").fill("0.6")
        page.keyboard.press("Enter")
        expect(page.locator("#keep")).to_be_enabled()
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        wanted = page.evaluate(
            "[...document.querySelectorAll('a, button, input, summary')]"
            ".filter((each) => each.checkVisibility() && !each.disabled).length"
        )
        reached, hidden_focus = set(), []
        for _ in range(wanted + 10):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "() => { const { activeElement: e } = document; const s = getComputedStyle(e);"
                "e.dataset.seen ??= String(Math.random());"
                "return [e.matches('a, button, input, summary') ? e.dataset.seen : '', s.outlineStyle]; }"
            )
            reached |= {name} - {""}
            hidden_focus += [name] if name and outline == "none" else []
        assert len(reached) == wanted > 60
        assert hidden_focus == []


def test_everything_has_a_name(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port):
        look(page, port)
        expect(page.locator(".setting").first).to_be_visible()
        nameless = page.evaluate(
            "[...document.querySelectorAll('input')].filter((each) => !each.labels.length && !each.ariaLabel)"
            ".map((each) => each.id)"
        )
        assert nameless == []
        for role in ("banner", "main", "contentinfo"):
            expect(page.get_by_role(role)).to_have_count(1)
        for name in ("Faces", "Events", "Thresholds", "Health", "Picture", "The last ten minutes"):
            expect(page.get_by_role("region", name=name)).to_have_count(1)
        expect(page.get_by_role("log", name="Events").get_by_role("list")).to_have_count(1)
        twice = page.evaluate(
            "(() => { const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);"
            "return ids.filter((id, index) => ids.indexOf(id) !== index); })()"
        )
        assert twice == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(page: Page, port: int, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    with daemon(tmp_path, port):
        look(page, port)
        expect(page.locator(".card").first).to_be_visible()
        colors = page.evaluate(
            "(names) => { const style = getComputedStyle(document.documentElement);"
            "return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(name).trim()])); }",
            ["--ground", "--panel", "--ink", "--soft", "--accent", "--on-accent", "--bad", "--bad-ground", "--good"],
        )
        for text, ground in (
            *(
                (text, ground)
                for text in ("--ink", "--soft", "--accent", "--bad")
                for ground in ("--panel", "--ground")
            ),
            ("--on-accent", "--accent"),
            ("--ink", "--bad-ground"),
        ):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
        assert contrast(colors["--good"], colors["--panel"]) >= 3
        transition = page.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration")
        assert transition == "0s"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours such as #1a212a."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_runs_out_of_the_window(page: Page, port: int, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    with daemon(tmp_path, port):
        look(page, port)
        expect(page.locator(".card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_alert_that_is_on_stands_at_the_top_until_it_ends(page: Page, port: int, tmp_path: Path) -> None:
    with daemon(tmp_path, port):
        look(page, port)
        banner = page.locator("#alerts")
        for _ in range(2):  # the demo's face smiles, and leaves
            expect(banner).to_contain_text(re.compile(r"Alert cheer is on since .*: faces? #\d.* for "), timeout=30_000)
            expect(page).to_have_title(re.compile(r"^\(1\) fer-edge "))
            expect(banner).to_be_hidden(timeout=30_000)
            expect(page).to_have_title(re.compile("^fer-edge "))
