"""messages.py: what a page is told in words."""

from __future__ import annotations

import pytest

from fer_edge.config import Privacy
from fer_edge.sinks.web.messages import purpose_words


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        (Privacy(), ""),
        (Privacy(purpose="home"), "Purpose: home"),
        (Privacy(purpose="workplace", medical_or_safety=True), "Purpose: workplace (medical or safety reasons)"),
        (
            Privacy(purpose="retail", controller="The shop", contact="ask@example.org"),
            "Purpose: retail. Responsible: The shop. Contact: ask@example.org",
        ),
    ],
)
def test_a_page_says_what_the_device_is_for(privacy: Privacy, words: str) -> None:
    assert purpose_words(privacy) == words
