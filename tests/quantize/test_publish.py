"""publish.py, gates.py, cards.py: what keeps a model out of models/, and what is written about one that gets in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.vision.tflite import Model
from quantize.data.sets import DataError
from quantize.evaluate.registry import MEASURING
from quantize.files import cards
from quantize.files.tflite_graph import Graph
from quantize.publish import command, gates
from quantize.publish.card_text import PROSE
from tests.support.paths import DATA, MODELS

PICTURE = {"shape": [1, 48, 48, 1], "dtype": "int8", "scale": 1 / 128, "zero_point": 0}
GOOD = gates.Candidate(
    role="expression",
    content=b"a model",
    card={"file": "expression.tflite", "input": PICTURE, "outputs": [{"name": "logits", "dtype": "int8"}]},
    macs=34_000_000,
    types=frozenset({"INT8", "INT32"}),
    refused_sizes=(),
    real={"accuracy": 0.882, "macro_f1": 0.74},
    int8={
        "accuracy": 0.8787654,
        "macro_f1": 0.73,
        "ece": 0.02,
        "least_recall": 0.41,
        "posed": {"accuracy": 0.81, "alarming": 0.6},
        "confusion": [[1]],
        "per_class": {"fear": {"f1": 1 / 3}},
    },
    result=None,
)
FOUND = {
    "ap": 0.85,
    "varied_ap": 0.9,
    "varied_ap_16_32": 0.94,
    "varied_fp_per_empty_image": 0.03,
    "masked": 0.95,
    "bare": 0.98,
    "daemon_recall_16": 0.9,
    "daemon_fp_per_image": 0.05,
    "daemon_fp_per_empty_image": 0.02,
}
DETECTOR = dataclasses.replace(GOOD, role="detector", int8=FOUND, real=FOUND, content=bytes(599_999))
POSE = {"pose_30": 2.0, "pose_60": 4.0, "sign": 0.995}
PRESENCE = {"false_presence": 0.02}
POINTS = {"nme51": 0.041, "heads": POSE, "presence": PRESENCE}
LANDMARKS = dataclasses.replace(
    GOOD, role="landmarks", int8=POINTS, real=POINTS, macs=14_000_000, content=bytes(599_999)
)
MOVES: dict[str, Any] = {
    "told": 8,
    "correlations": {"smile": 0.9, "jaw_open": 0.74, "eye_closed_left": 0.8},
    "aucs": {},
}
INTENSITY = dataclasses.replace(GOOD, role="intensity", int8=MOVES, real=MOVES, macs=10_000_000, content=bytes(9))


def failed(model: gates.Candidate) -> list[str]:
    return gates.failed(model, floors=gates.FLOORS[model.role])


# --- gates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GOOD, DETECTOR, LANDMARKS, INTENSITY])
def test_a_good_model_passes(model: gates.Candidate) -> None:
    assert failed(model) == []


@pytest.mark.parametrize(
    ("model", "flaw", "message"),
    [
        (
            GOOD,
            {"int8": GOOD.int8 | {"accuracy": 0.8695}, "real": GOOD.real | {"accuracy": 0.87}},
            "least 0.87, got 0.8695",
        ),
        (GOOD, {"int8": GOOD.int8 | {"macro_f1": 0.71}}, "int8 macro_f1: expected at least 0.72, got 0.7100"),
        (GOOD, {"int8": GOOD.int8 | {"ece": 0.021}}, "int8 ece: expected at most 0.0200, got 0.0210"),
        (GOOD, {"int8": GOOD.int8 | {"least_recall": 0.3}}, "int8 least_recall: expected at least 0.4, got 0.3000"),
        (
            GOOD,
            {"int8": GOOD.int8 | {"posed": {"accuracy": 0.7, "alarming": 0.6}}},
            "posed.accuracy: expected at least 0.8",
        ),
        (
            GOOD,
            {"int8": GOOD.int8 | {"posed": {"accuracy": 0.9, "alarming": 0.5}}},
            "posed.alarming: expected at least 0.6",
        ),
        (GOOD, {"real": GOOD.real | {"accuracy": 0.89}}, "accuracy lost by int8: expected at most 0.0050, got 0.0112"),
        (GOOD, {"macs": 35_000_001}, "multiplications: expected at most 35,000,000, got 35,000,001"),
        (GOOD, {"content": bytes(1_000_000)}, "bytes: expected at most 999,999, got 1,000,000"),
        (GOOD, {"types": frozenset({"INT8", "INT32", "FLOAT32"})}, "only INT8 and INT32, got also FLOAT32"),
        (GOOD, {"card": GOOD.card | {"input": PICTURE | {"scale": 2 / 255}}}, "pixel - 128, got int8, scale 0.0078431"),
        (GOOD, {"card": GOOD.card | {"input": {"dtype": "float32"}}}, "pixel - 128, got float32"),
        (GOOD, {"card": GOOD.card | {"outputs": [{"name": "logits", "dtype": "float32"}]}}, "others in logits"),
        (DETECTOR, {"int8": FOUND | {"ap": 0.8399}}, "detector: int8 ap: expected at least 0.84, got 0.8399"),
        (DETECTOR, {"int8": FOUND | {"varied_ap": 0.84}}, "int8 varied_ap: expected at least 0.88, got 0.8400"),
        (
            DETECTOR,
            {"int8": FOUND | {"varied_fp_per_empty_image": 0.14}},
            "int8 varied_fp_per_empty_image: expected at most 0.1300, got 0.1400",
        ),
        (DETECTOR, {"macs": 80_000_001}, "multiplications: expected at most 80,000,000"),
        (DETECTOR, {"content": bytes(600_000)}, "bytes: expected at most 599,999"),
        (DETECTOR, {"refused_sizes": ("320x256",)}, "any multiple of 32 px, got refusals of 320x256"),
        (LANDMARKS, {"int8": POINTS | {"nme51": 0.0426}}, "int8 nme51: expected at most 0.0425, got 0.0426"),
        (LANDMARKS, {"int8": POINTS | {"heads": POSE | {"pose_60": 10.1}}}, "pose_60: expected at most 10.0"),
        (LANDMARKS, {"int8": POINTS | {"heads": POSE | {"sign": 0.98}}}, "sign: expected at least 0.99"),
        (LANDMARKS, {"int8": POINTS | {"presence": {"false_presence": 0.04}}}, "false_presence: expected at most 0.03"),
        (
            LANDMARKS,
            {"int8": POINTS | {"heads": POSE | {"pose_30": math.nan}}},
            "pose_30: not measured",
        ),
        (INTENSITY, {"int8": MOVES | {"told": 6}}, "int8 told: expected at least 7, got 6"),
        (LANDMARKS, {"macs": 15_000_001}, "multiplications: expected at most 15,000,000"),
    ],
)
def test_each_gate_refuses_for_its_reason(model: gates.Candidate, flaw: dict[str, Any], message: str) -> None:
    (line,) = failed(dataclasses.replace(model, **flaw))
    assert message in line


def test_every_failed_gate_is_named() -> None:
    figures = GOOD.int8 | {"accuracy": 0.2, "macro_f1": 0.1}
    bad = dataclasses.replace(GOOD, content=bytes(1_000_000), macs=36_000_000, int8=figures)
    assert len(failed(bad)) == 5


def test_a_figure_that_was_not_measured_is_not_taken_for_a_good_one() -> None:
    (first, second) = failed(dataclasses.replace(GOOD, int8=GOOD.int8 | {"posed": None}))
    assert "posed.accuracy: not measured" in first
    assert "posed.alarming: not measured" in second


def test_a_floor_that_the_published_model_misses_may_be_neared_but_not_left() -> None:
    floors = gates.FLOORS["expression"]
    published = GOOD.int8 | {"least_recall": 0.23, "ece": 0.025, "posed": {"accuracy": 0.61, "alarming": 0.15}}
    nearer = dataclasses.replace(GOOD, int8=GOOD.int8 | {"least_recall": 0.3, "ece": 0.024})
    assert gates.failed(nearer, floors=floors, published=published) == []
    assert len(gates.failed(nearer, floors=floors)) == 2
    further = dataclasses.replace(GOOD, int8=GOOD.int8 | {"least_recall": 0.2, "ece": 0.029})
    lines = gates.failed(further, floors=floors, published=published)
    assert ["at least 0.227, got 0.2000" in lines[1], "at most 0.0280, got 0.0290" in lines[0]] == [True, True]


def test_small_steps_down_end_at_the_least_that_is_published() -> None:
    floors = gates.FLOORS["expression"]
    figures = GOOD.int8 | {"accuracy": 0.8605}
    now = dataclasses.replace(GOOD, real=GOOD.real | {"accuracy": 0.86}, int8=GOOD.int8 | {"accuracy": 0.8595})
    (line,) = gates.failed(now, floors=floors, published=figures)
    assert "accuracy: expected at least 0.86, got 0.8595" in line


def test_a_better_published_model_lifts_no_floor() -> None:
    assert gates.failed(GOOD, floors=gates.FLOORS["expression"], published=GOOD.int8 | {"accuracy": 0.99}) == []


def test_what_a_model_misses_is_named() -> None:
    floors = gates.FLOORS["expression"]
    assert gates.missed(GOOD.int8, floors) == {}
    assert gates.missed(GOOD.int8 | {"ece": 0.03, "least_recall": 0.1}, floors) == {"ece": 0.03, "least_recall": 0.1}


def test_a_detector_that_knows_one_size_only_is_noticed() -> None:
    assert gates.refused_sizes(DATA / "stiff.tflite") == ("320x256", "192x192")
    assert gates.refused_sizes(DATA / "bright.tflite") == ()


def test_floors_can_be_lowered_for_trials() -> None:
    assert command.lowered_floors(["accuracy=0.5"], gates.FLOORS["expression"]) == {"accuracy": 0.5}
    for text, message in (("ap=0.5", "expected one of accuracy, macro_f1"), ("accuracy", "expected NAME=VALUE")):
        with pytest.raises(DataError, match=message):
            command.lowered_floors([text], gates.FLOORS["expression"])


# --- writing -------------------------------------------------------------------------------------------------


def write(model: gates.Candidate, folder: Path) -> None:
    floors = gates.FLOORS[model.role]
    command.check(model, floors=floors)
    command.publish(model, {"16 px": {"accuracy": 2 / 3}}, floors=floors, models=folder)


def test_nothing_is_written_past_a_failed_gate(tmp_path: Path) -> None:
    (tmp_path / "expression.tflite").write_bytes(b"the last good one")
    with pytest.raises(command.GateError, match="multiplications"):
        write(dataclasses.replace(GOOD, macs=36_000_000), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["expression.tflite"]
    assert (tmp_path / "expression.tflite").read_bytes() == b"the last good one"


def test_a_pose_that_was_not_measured_is_not_published() -> None:
    lines = failed(dataclasses.replace(LANDMARKS, int8={"nme51": 0.041, "heads": None}))
    assert len(lines) == 4
    assert all("not measured" in line for line in lines)


def test_weak_intensities_are_withheld(tmp_path: Path) -> None:
    figures = MOVES | {"aucs": {"eye_closed_left": 0.89}}
    own = GOOD.card | {"file": "intensity.tflite", "intensities": {"names": list(MOVES["correlations"])}}
    write(dataclasses.replace(INTENSITY, int8=figures, card=own), tmp_path)
    card = cards.read(tmp_path / "intensity.json")
    assert card["intensities"]["withheld"] == ["jaw_open", "eye_closed_left"]


def test_a_model_that_passes_is_written_with_its_figures(tmp_path: Path) -> None:
    write(GOOD, tmp_path / "models")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["expression.json", "expression.tflite"]
    assert (tmp_path / "models/expression.tflite").read_bytes() == b"a model"
    metrics = json.loads((tmp_path / "models/expression.json").read_text())["metrics"]
    assert metrics["int8"].keys() == GOOD.int8.keys() - {"confusion"}
    assert metrics["int8"]["accuracy"] == 0.8788
    assert metrics["int8"]["per_class"] == {"fear": {"f1": 0.3333}}
    assert metrics["float"]["accuracy"] == 0.882
    assert metrics["conditions"] == {"16 px": {"accuracy": 0.6667}}
    assert metrics["floors"] == gates.FLOORS["expression"]
    assert metrics["missed"] == {}


def test_nothing_is_replaced_before_everything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    (tmp_path / "expression.tflite").write_bytes(b"the last good one")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write(GOOD, tmp_path)
    assert (tmp_path / "expression.tflite").read_bytes() == b"the last good one"


def test_a_run_without_files_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["detector", "--data", str(tmp_path), "--run", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/detector.json: ")


def test_the_command_that_repeats_a_run_names_no_folder_of_this_machine() -> None:
    plan = {
        "role": "expression",
        "epochs": 9,
        "seed": 1,
        "precision": "float32",
        "start": "/home/me/x/wide",
        "rate": None,
    }
    plan["options"] = {"teachers": ["/a/t1", "/a/t2"], "widths": [8, 8, 8]}
    assert cards.command(plan) == (
        "python -m quantize.train expression --data data --out runs/expression --epochs 9 --seed 1 "
        "--precision float32 --start runs/wide --teachers runs/t1 runs/t2 --widths 8 8 8"
    )
    plan |= {"start": "/home/me/landmarks.tflite", "options": {"detector": "/home/me/detector.tflite"}}
    assert cards.command(plan).endswith("--start models/landmarks.tflite --detector models/detector.tflite")


def test_the_command_of_weights_between_two_networks_names_both() -> None:
    between = {"start": "/x/models/expression.tflite", "end": ["/x/a", "/x/b"], "share": 0.8}
    plan = {"role": "expression", "epochs": 9, "options": {}, "interpolate": between}
    assert cards.command(plan) == (
        "python -m quantize.train.interpolate expression --data data --out runs/expression "
        "--start models/expression.tflite --end runs/a runs/b --share 0.8"
    )


def test_the_prose_of_every_role_is_complete() -> None:
    for role in MEASURING:
        assert PROSE[role].keys() == {*cards.TRAINING_PROSE, "intended_use", "misuse", "limits"}
    assert "not a feeling" in PROSE["expression"]["limits"]


# --- what is published ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(MEASURING))
def test_a_published_card_describes_the_published_model(role: Any) -> None:
    path = MODELS / f"{role}.json"
    if not path.exists() or "floors" not in json.loads(path.read_text())["metrics"]:
        pytest.skip(f"no {role} model has been published yet")
    card, content = cards.read(path), (MODELS / f"{role}.tflite").read_bytes()
    assert (card["sha256"], card["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    graph = Graph(content)
    assert card["macs"] == graph.macs() <= gates.MOST_MACS[role]
    assert graph.types() <= set(gates.INTEGERS)
    assert len(content) < gates.MOST_BYTES[role]
    assert card["metrics"]["floors"] == gates.FLOORS[role]
    assert card["metrics"].get("missed", {}) == gates.missed(card["metrics"]["int8"], gates.FLOORS[role])
    assert card.keys() >= {"training", "intended_use", "misuse", "limits", "license", "date"}
    Model(MODELS, role, role=role)  # raises if the card is not the file's


def test_figures_are_rounded_all_the_way_down() -> None:
    given = {"a": [0.123456, (1, np.float64(0.55555))], "b": "text", "c": None, "d": math.nan}
    assert cards.rounded(given) == {"a": [0.1235, [1, 0.5556]], "b": "text", "c": None, "d": None}
