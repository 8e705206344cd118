"""A report where something cannot be read, or is not what it was: one line, or a dash."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.commands.report import page as page_module
from fer_edge.commands.report import periods
from fer_edge.commands.report.page import page
from fer_edge.commands.report.periods import album, own_history
from fer_edge.commands.report.summary import ReportData
from fer_edge.config import Config, Device, Models, State
from fer_edge.errors import ReportError
from fer_edge.sinks.history import HISTORY_FILE
from fer_edge.tracking.minutes import Minute


def story() -> ReportData:
    minute = Minute(begin_s=0, watched_s=60.0)
    return ReportData(title="A film", name="all", begin_s=0.0, end_s=60.0, minutes=[minute], wall=False)


@pytest.mark.parametrize(
    "card", [None, "{", "[1]", "{}", '{"metrics": {"int8": 7}}', '{"metrics": {"int8": {"ap": "x"}}}']
)
def test_cards_that_cannot_be_read_cost_their_figures_only(card: str | None, tmp_path: Path) -> None:
    if card is not None:
        for role in page_module.ROLES:
            (tmp_path / f"mine-{role}.json").write_text(card)
    models = Models(
        folder=str(tmp_path), detector="mine-detector", landmarks="mine-landmarks", expression="mine-expression"
    )
    text = page([story()], models)
    assert "A film" in text
    assert text.count("no date") == len(page_module.ROLES)


def test_pictures_are_made_small_and_one_that_is_none_is_passed_on() -> None:
    large = cv2.imencode(".jpg", np.full((960, 1280, 3), 90, np.uint8))[1].tobytes()
    small = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
    text = page([story()], Models(), [("joy", large), ("start", small), ("torn", b"no picture")])
    assert base64.b64encode(small).decode() in text
    assert base64.b64encode(b"no picture").decode() in text
    assert base64.b64encode(large).decode()[:400] not in text
    assert all(what in text for what in ("joy", "start", "torn"))


def test_pictures_that_cannot_be_read_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(periods, "pictures_in", refuse)
    with pytest.raises(ReportError, match="cannot read the pictures: Permission denied; leave out --pictures"):
        album(tmp_path, 0, 1)


@pytest.mark.parametrize("service", ["nowhere", "a file"])
def test_without_a_service_the_history_is_the_user_s_own(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setattr(periods, "SERVICE_FOLDER", tmp_path / service)
    own = own_history(Config(device=Device(id="kitchen")))
    assert own == tmp_path / "state" / "kitchen" / HISTORY_FILE
    hall = own_history(Config(device=Device(id="hall"), state=State(folder=str(tmp_path))))
    assert hall == tmp_path / "hall" / HISTORY_FILE
