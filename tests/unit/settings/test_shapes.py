"""shapes.py: zones and the region as they are drawn on the page, kept over a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fer_edge.config import Alert, Config, Detector, Zone
from fer_edge.settings.overrides import Tuning
from fer_edge.settings.overrides_file import TUNING_FILE
from fer_edge.settings.shapes import MOST_ZONES, shapes_of
from tests.support.tuning_helpers import stored

SQUARE = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5], [0.1, 0.5]]
DOOR = Zone(points=((0.0, 0.0), (0.2, 0.0), (0.2, 1.0)), margin=0.1)
CONFIG = Config(zones={"door": DOOR}, alerts={"cheer": Alert(expressions=("happiness",), zone="door")})


def drawn(tuning: Tuning, zones: Any = None, region: Any = None) -> str:
    """Why not; empty: it is in force."""
    return tuning.draw({"zones": zones, "detector.region": region}) or ""


def test_what_is_drawn_is_in_force_and_outlasts_a_restart(tmp_path: Path) -> None:
    tuning = Tuning(CONFIG, tmp_path)
    zones = shapes_of(CONFIG)["zones"] | {"till": {"points": SQUARE}}
    assert drawn(tuning, zones, [0, 0, 1, 0.5]) == ""
    for each in (tuning, Tuning(CONFIG, tmp_path)):
        assert each.config.zones["door"] == DOOR
        assert each.config.zones["till"].points == tuple((x, y) for x, y in SQUARE)
        assert each.config.detector.region == (0.0, 0.0, 1.0, 0.5)
        assert not each.warnings
    assert set(stored(tmp_path)) == {"zones", "detector.region"}
    assert drawn(tuning) == ""
    assert (tuning.config, stored(tmp_path)) == (CONFIG, {})


@pytest.mark.parametrize(
    ("zones", "region", "words"),
    [
        ({"till": {"points": SQUARE[:2]}}, None, "zones[...].points: expected a list of length >= 3"),
        ({"a b": {"points": SQUARE}}, None, "letters, digits, _ and -"),
        ({"till": {"points": [[0, 0], [1, 1], [1, 0], [0, 1]]}}, None, "crosses or touches side"),
        ({"till": {"points": [[0, 0], [2, 1], [1, 0]]}}, None, "<= 1"),
        ({"till": {"points": SQUARE, "colour": 1}}, None, "colour"),
        ({}, None, "expected null or a name of section zones"),
        ({f"z{n}": {"points": SQUARE} for n in range(MOST_ZONES + 1)}, None, f"expected at most {MOST_ZONES}"),
        (None, [0.5, 0, 0.5, 1], "expected left < right"),
        (None, [0, 0, 1], "detector.region: "),
    ],
)
def test_what_is_wrong_is_refused_in_words(zones: Any, region: Any, words: str) -> None:
    tuning = Tuning(CONFIG, None)
    assert words in drawn(tuning, zones, region)
    assert shapes_of(tuning.config) == shapes_of(CONFIG)


def test_a_reload_keeps_what_was_drawn_until_it_is_impossible(tmp_path: Path) -> None:
    tuning = Tuning(CONFIG, tmp_path)
    drawn(tuning, {"door": {"points": SQUARE}}, [0, 0, 1, 0.5])
    tuning.reload(Config(zones={"exit": DOOR}, detector=Detector(region=(0, 0, 0.5, 0.5))))
    assert list(tuning.config.zones) == ["door"]
    assert tuning.config.detector.region == (0.0, 0.0, 1.0, 0.5)
    other = {"exit": DOOR, "till": DOOR}
    reload = tuning.reload(Config(zones=other, alerts={"x": Alert(expressions=("fear",), zone="till")}))
    assert list(tuning.config.zones) == ["exit", "till"]
    assert any("zones" in warning for warning in reload.warnings)


def test_a_damaged_drawing_in_the_state_folder_is_dropped(tmp_path: Path) -> None:
    (tmp_path / TUNING_FILE).write_text('{"zones": {"x": 1}}')
    tuning = Tuning(CONFIG, tmp_path)
    assert "zones" in tuning.warnings[0]
    assert tuning.config == CONFIG
