"""messages.py: what a page is told in words."""

from __future__ import annotations

import pytest

from fer_edge.config import Privacy
from fer_edge.sinks.web.messages import decode, purpose_words


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


def test_a_message_that_is_nested_too_deep_is_not_understood() -> None:
    deep = "[" * 20_000 + "]" * 20_000
    with pytest.raises(ValueError, match="too deep"):
        decode(f'{{"type": "draw", "zones": {{"till": {deep}}}, "region": null}}')
