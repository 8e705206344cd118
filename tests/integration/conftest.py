"""One browser for the tests of a module, and a page of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    from tests.support.browser import browser  # here: not every machine that runs these tests has Playwright

    with browser() as context:
        yield context


@pytest.fixture
def page(chromium: BrowserContext) -> Iterator[Page]:
    chromium.clear_cookies()
    page = chromium.new_page()
    yield page
    page.close()
