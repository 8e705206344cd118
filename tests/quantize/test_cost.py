"""docs/performance.md says what the models, their cards and the daemon's cadence say; quantize/cost/command.py."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.support.paths import ROOT
from tests.support.samples import frame_of

sys.path.insert(0, str(ROOT / "benchmarks"))
from cadence import SCENES, Scene, picture, runs_per_second, runs_row

from fer_edge.board.expected import BOARDS
from fer_edge.pipeline import Pipeline
from quantize.cost import command, published_times
from quantize.files.tflite_graph import Graph

PAGE = (ROOT / "docs" / "performance.md").read_text()
CARDS = [msgspec.json.decode((ROOT / "models" / f"{name}.json").read_bytes()) for name in command.NAMES]


@pytest.mark.parametrize("table", [command.layers, command.rates, command.times, published_times.table])
def test_the_page_holds_every_table(table: Callable[[], Iterator[str]]) -> None:
    lines = list(table())
    assert len(lines) > 4
    assert "\n".join(lines) in PAGE, "made by python -m quantize.cost"


@pytest.mark.parametrize("card", CARDS, ids=command.NAMES)
def test_the_layers_add_up_to_the_card(card: dict[str, object]) -> None:
    costs = Graph((ROOT / "models" / str(card["file"])).read_bytes()).costs()
    assert sum(each.macs for each in costs) == card["macs"]
    weights = sum(each.weight_bytes for each in costs)
    assert 0.4 * int(str(card["bytes"])) < weights < int(str(card["bytes"]))  # the rest: scales, and how layers join
    assert f"| {card['name']} | {int(str(card['macs'])) / 1e6:.1f} |" in PAGE


def test_the_rates_are_the_published_ones() -> None:
    rates = {
        (each.board, each.cores, each.source): each.gmacs for each in published_times.TIMED if "v1" in each.network
    }
    zero, four, _ = BOARDS
    assert rates[zero, 1, "ncnn"] == pytest.approx(zero.one_gmacs, abs=0.05)
    assert zero.all_gmacs[0] < rates[zero, 4, "ncnn"] < zero.all_gmacs[1]
    assert rates[four, 1, "ncnn"] == pytest.approx(four.one_gmacs, abs=0.05)
    assert rates[four, 4, "ncnn"] == pytest.approx(four.all_gmacs[0], abs=0.5)
    assert rates[four, 4, "XNNPACK"] == pytest.approx(four.all_gmacs[1], abs=0.5)


def test_the_error_is_what_the_page_says() -> None:
    ratios = published_times.ratios()
    low, _, high = statistics.quantiles(ratios, n=4)
    least, most = f"between {min(ratios):.1f} and {max(ratios):.1f} times", f"between {low:.1f} and {high:.1f} times"
    assert f"{least} what the method says, half of them {most}" in PAGE


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_how_often_each_model_runs(pipeline: Pipeline, scene: Scene) -> None:
    assert runs_row(scene, runs_per_second(pipeline, scene, seconds=20.0)) in PAGE, "made by benchmarks.cadence"


@pytest.mark.parametrize("faces", [0, 1, 3])
def test_the_scenes_show_what_they_say(pipeline: Pipeline, faces: int) -> None:
    assert len(pipeline.look(frame_of(picture(faces))).tracks) == faces
