"""card.py: a card must be consistent in itself."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.errors import ModelError
from fer_edge.records import LABELS
from fer_edge.vision.model_card import Card, check_role, models_folder, output_shapes, read_card

WHERE = Path("NAME.json")


def tensor(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": "int8", "scale": 0.1, "zero_point": 3}


def card(role: str, *, size: tuple[int, int], outputs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    width, height = size
    picture = {"shape": (1, height, width, 1), "dtype": "int8", "color": "gray", "low": -1.0, "high": 127 / 128}
    head = {"card": 1, "name": "x", "role": role, "file": "x.tflite", "sha256": "", "bytes": 1, "license": "MIT"}
    return {**head, "input": picture, "outputs": outputs, **more}


GRIDS = ((24, 32), (12, 16), (6, 8))
CARDS = {
    "detector": card(
        "detector",
        size=(256, 192),
        outputs=[
            tensor(f"{name}{rows}", 1, rows, columns, depth)
            for rows, columns in GRIDS
            for name, depth in (("score", 1), ("box", 4), ("points", 10))
        ],
        ssd={"strides": (8, 16, 32), "keypoints": 5, "overlap": 0.4},
    ),
    "landmarks": card(
        "landmarks",
        size=(96, 96),
        outputs=[tensor("points", 1, 136), tensor("score", 1, 1)],
        points={"mean": [(0.5, 0.5)] * 68, "points_scale": 1.3, "box_scale": 1.4, "box_shift": 0.1},
    ),
    "expression": card(
        "expression",
        size=(48, 48),
        outputs=[tensor("", 1, 8)],
        labels=LABELS,
        template={"left_eye": (0.3, 0.4), "right_eye": (0.7, 0.4), "mouth": (0.5, 0.8)},
    ),
    "intensity": card(
        "intensity",
        size=(48, 48),
        outputs=[tensor("", 1, 3)],
        intensities={"names": ["smile", "jaw_open", "brow_raise"], "withheld": ["jaw_open"]},
        template={"left_eye": (0.3, 0.4), "right_eye": (0.7, 0.4), "mouth": (0.5, 0.8)},
    ),
}
HEADS = [tensor("points", 1, 136), tensor("score", 1, 1), tensor("pose", 1, 3), tensor("error", 1, 1)]
POSE = {"unit_deg": 90, "error_unit_deg": 10}


def edited(role: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A card with changes; ssd__strides goes one level down, None takes a key away."""
    values = deepcopy(CARDS[role])
    for key, value in changes.items():
        *outer, last = key.split("__")
        place = values[outer[0]] if outer else values
        if value is None:
            del place[last]
        else:
            place[last] = value
    return values


@pytest.mark.parametrize("role", CARDS)
def test_a_good_card(role: str) -> None:
    check_role(msgspec.convert(CARDS[role], Card), WHERE)


def test_landmarks_with_a_head_for_the_pose() -> None:
    check_role(msgspec.convert(edited("landmarks", {"pose": POSE, "outputs": HEADS}), Card), WHERE)


def test_what_is_withheld_is_not_told() -> None:
    intensities = msgspec.convert(CARDS["intensity"], Card).intensities
    assert intensities is not None
    assert intensities.published() == (0, 2)


def test_a_detector_with_yunets_four_outputs_a_grid() -> None:
    outputs = [
        tensor(f"{name}{rows}", 1, rows, columns, depth)
        for rows, columns in GRIDS
        for name, depth in (("class", 1), ("box", 4), ("object", 1), ("points", 10))
    ]
    changes = {"outputs": outputs, "ssd__coding": "yunet"}
    check_role(msgspec.convert(edited("detector", changes), Card), WHERE)
    with pytest.raises(ModelError, match="12 outputs expected, got 9"):
        check_role(msgspec.convert(edited("detector", {"ssd__coding": "yunet"}), Card), WHERE)


def detector_outputs(*numbers: int) -> list[dict[str, Any]]:
    return [CARDS["detector"]["outputs"][number] for number in numbers]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("detector", {"ssd": None}, "role 'detector' needs 'ssd'"),
    ("detector", {"ssd__strides": ()}, r"strides expected above 0 and rising, got \[\]"),
    ("detector", {"ssd__strides": (0, 8, 16)}, "strides expected above 0 and rising"),
    ("detector", {"ssd__strides": (32, 16, 8)}, "strides expected above 0 and rising"),
    ("detector", {"ssd__strides": (8, 8, 16)}, "strides expected above 0 and rising"),
    ("detector", {"ssd__strides": (8, 16, 40)}, r"strides expected to divide 256x192 and the largest, got \[8, 16, 40"),
    ("detector", {"ssd__strides": (12, 16, 32)}, "strides expected to divide"),
    (
        "detector",
        {"ssd__strides": (8, 16, 24), "input__shape": (1, 192, 192, 1)},
        "strides expected to divide 192x192 and the largest",
    ),
    ("detector", {"ssd__strides": (8, 16)}, "6 outputs expected, got 9"),
    ("detector", {"ssd__keypoints": 1}, r"keypoints expected at least 2 \(the eyes\), got 1"),
    ("detector", {"ssd__keypoints": 6}, r"output 3 \(points24\) expected as \[1, 24, 32, 12\], got \[1, 24, 32, 10\]"),
    ("detector", {"ssd__overlap": 0}, "overlap expected above 0 and at most 1, got 0"),
    ("detector", {"ssd__overlap": 1.5}, "overlap expected above 0 and at most 1, got 1.5"),
    (
        "detector",
        {"outputs": detector_outputs(1, 0, 2, 3, 4, 5, 6, 7, 8)},
        r"output 1 \(box24\) expected as \[1, 24, 32",
    ),
    ("detector", {"outputs": detector_outputs(3, 4, 5, 0, 1, 2, 6, 7, 8)}, r"output 1 \(score12\) expected as"),
    ("detector", {"outputs": detector_outputs(0, 1, 2)}, "9 outputs expected, got 3"),
    ("detector", {"outputs": [dict(o, name="") for o in detector_outputs(*range(9))]}, "expected to be unique"),
    (
        "detector",
        {"outputs": [dict(o, name="a") for o in detector_outputs(*range(9))]},
        "to be unique, got 'a'",
    ),
    ("detector", {"input__shape": (1, 192)}, r"input shape expected \[1, height, width, 1\] for gray, got \(1, 192\)"),
    ("detector", {"input__shape": (2, 192, 256, 1)}, "input shape expected"),
    ("detector", {"input__shape": (1, 0, 256, 1)}, "input shape expected"),
    ("detector", {"input__shape": (1, 200, 256, 1)}, "strides expected to divide 256x200"),
    ("detector", {"input__color": "rgb"}, r"input shape expected \[1, height, width, 3\] for rgb"),
    ("detector", {"input__low": 127 / 128}, "low expected below high, got 0.992188 and 0.992188"),
    ("detector", {"input__low": 1.0}, "low expected below high, got 1 and 0.99"),
    ("landmarks", {"points": None}, "role 'landmarks' needs 'points'"),
    ("landmarks", {"points__mean": [(0.5, 0.5)] * 67}, "mean expected 68 pairs x, y, got 67"),
    ("landmarks", {"points__mean": [(0.5, 1.5)] * 68}, "mean expected within 0 to 1 of the crop"),
    ("landmarks", {"points__mean": [(-0.5, 0.5)] * 68}, "mean expected within 0 to 1 of the crop"),
    ("landmarks", {"points__points_scale": 0}, "points_scale expected above 0, got 0"),
    ("landmarks", {"points__box_scale": -1}, "box_scale expected above 0, got -1"),
    ("landmarks", {"points__box_shift": 20}, "box_shift expected within -1 to 1 box heights, got 20"),
    ("landmarks", {"points__box_shift": -20}, "box_shift expected within -1 to 1 box heights, got -20"),
    ("landmarks", {"outputs": [tensor("p", 1, 136), tensor("p", 1, 1)]}, "to be unique, got 'p', 'p'"),
    ("landmarks", {"outputs": [tensor("points", 1, 136)]}, "2 outputs expected, got 1"),
    ("landmarks", {"outputs": [tensor("p", 1, 68, 2), tensor("s", 1, 1)]}, r"output 1 \(p\) expected as \[1, 136\]"),
    ("landmarks", {"outputs": [tensor("s", 1, 1), tensor("p", 1, 136)]}, r"output 1 \(s\) .*; output 2 \(p\) expected"),
    ("landmarks", {"input__shape": (1, 96, 80, 1)}, "input shape expected square"),
    ("landmarks", {"pose": POSE}, "4 outputs expected, got 2"),
    ("landmarks", {"outputs": HEADS}, "2 outputs expected, got 4"),
    ("intensity", {"intensities": None}, "role 'intensity' needs 'intensities'"),
    ("intensity", {"template": None}, "template expected, got none"),
    ("intensity", {"intensities__names": []}, "names expected to be unique, got none"),
    (
        "intensity",
        {"intensities__names": ["smile", "smile", "jaw_open"]},
        "names expected to be unique, got 'smile', 'smile'",
    ),
    ("intensity", {"intensities__withheld": ["frown"]}, "withheld expected among the names, got also frown"),
    ("intensity", {"outputs": [tensor("", 1, 2)]}, r"expected as \[1, 3\], got \[1, 2\]"),
    ("expression", {"template": None}, "role 'expression' needs 'template'"),
    ("expression", {"labels": LABELS[::-1]}, "labels expected neutral, happiness"),
    ("expression", {"labels": None}, "labels expected .*, got none"),
    ("expression", {"temperature": 0}, "temperature expected above 0, got 0"),
    ("expression", {"template__mouth": (0.3, 0.4)}, "template expected three different points"),
    ("expression", {"outputs": []}, "1 output expected, got 0"),
    ("expression", {"outputs": [tensor("", 1, 7)]}, r"output 1 \(no name\) expected as \[1, 8\], got \[1, 7\]"),
    ("expression", {"input__shape": (1, 48, 40, 1)}, "input shape expected square"),
]


@pytest.mark.parametrize(("role", "changes", "words"), WRONG)
def test_a_card_that_contradicts_itself(role: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        check_role(msgspec.convert(edited(role, changes), Card), WHERE)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("NAME.json: ")


@pytest.mark.parametrize(
    ("role", "changes", "words"),
    [
        ("detector", {"ssd__keypoints": "five"}, r"Expected `int`, got `str` - at `\$.ssd.keypoints`"),
        ("landmarks", {"points__mean": [(0.5,)] * 68}, "Expected `array` of length 2"),
        ("expression", {"input__scale": 0}, r"`float` > 0.0 - at `\$.input.scale`"),
        ("expression", {"macs": 0}, r"`int` >= 1 - at `\$.macs`"),
        ("expression", {"bytes": None}, "missing required field `bytes`"),
        ("expression", {"card": 2}, "Invalid enum value 2"),
    ],
)
def test_a_file_that_is_no_card(tmp_path: Path, role: str, changes: dict[str, Any], words: str) -> None:
    (tmp_path / "x.json").write_bytes(msgspec.json.encode(edited(role, changes)))
    with pytest.raises(ModelError, match=f"x.json: not a model card: .*{words}.*; restore the file from the release"):
        read_card(tmp_path, "x")


def test_what_is_for_people_only_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(msgspec.json.encode(CARDS["detector"] | {"training": {"data": "photos"}}))
    assert read_card(tmp_path, "x") == msgspec.convert(CARDS["detector"], Card)


def test_a_detectors_outputs_grow_with_its_input() -> None:
    shapes = output_shapes(msgspec.convert(CARDS["detector"], Card), width=64, height=320)
    assert shapes[:3] == ((1, 40, 8, 1), (1, 40, 8, 4), (1, 40, 8, 10))
    assert shapes[6:] == ((1, 10, 2, 1), (1, 10, 2, 4), (1, 10, 2, 10))


def test_a_configured_folder_wins(tmp_path: Path) -> None:
    assert models_folder(str(tmp_path)) == tmp_path
