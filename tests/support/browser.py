"""Debian's chromium, driven by Playwright's core."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from fer_edge.config import Alert, Camera, Config, Device, Events, Mqtt, Outbox, Privacy, State, Web
from fer_edge.daemon import Signals, run
from tests.support.web_helpers import SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REASON = "chromium is missing: apt install chromium (scripts/test does)"


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """A browser without a window; every page fails loudly where it waits for more than SECONDS."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = found.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(SECONDS * 1e3)
        yield context
        found.close()


def complaints(page: Page) -> list[str]:
    """What the page says on the console, and its errors, as they come."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("requestfailed", lambda request: messages.append(f"failed: {request.url}"))
    return messages


@contextmanager
def daemon(folder: Path, port: int, *, images: bool = True, **settings: Any) -> Iterator[None]:
    """The whole daemon on the built-in demo, in a thread."""
    config = Config(
        device=Device(id="browser-test"),
        camera=Camera(backend="replay", source="demo", loop=True),
        mqtt=Mqtt(enabled=False),
        outbox=Outbox(enabled=False),
        state=State(folder=str(folder)),
        events=Events(dwell_seconds=0.1),
        alerts={"cheer": Alert(expressions=("happiness",), for_seconds=0.5, cooldown_seconds=0.0)},
        privacy=Privacy(images=images, purpose="research"),
        web=Web(**{"enabled": True, "port": port, **settings}),
    )
    signals = Signals()
    thread = threading.Thread(target=run, args=(config, signals))
    thread.start()
    try:
        yield
    finally:
        signals.stop.set()
        thread.join(SECONDS)
