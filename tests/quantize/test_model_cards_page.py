"""quantize/: the cards as a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantize.publish import model_cards_page
from tests.support.paths import ROOT


def test_the_page_in_docs_is_that_of_the_published_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert model_cards_page.main(["--models", str(ROOT / "models")]) == 0
    printed = capsys.readouterr().out
    assert printed == (ROOT / "docs" / "model-cards.md").read_text(), (
        "run: python -m quantize.publish.model_cards_page > docs/model-cards.md"
    )
    for heading in (
        "## Expression",
        "## Detector",
        "## Landmarks",
        "| contempt |",
        "**By group**",
        "**Through the whole",
    ):
        assert heading in printed


def test_a_folder_without_cards_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model_cards_page.main(["--models", str(tmp_path)]) == 1
    assert "expression.json: not a model card" in capsys.readouterr().err
