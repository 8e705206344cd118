"""quantize/: what a label means, which picture is on which side, the figures, and the gates.

Everything down to the last section needs numpy and OpenCV only; training and conversion skip where Keras is absent.
"""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ferplus_samples import ferplus, pictures, votes
from numpy.typing import NDArray

from fer_edge.classify import softmax
from quantize import data, evaluate, publish

MODELS = Path(__file__).parents[1] / "models"


# --- labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sadness": 10}, 3),
        ({"neutral": 5, "anger": 3, "fear": 2}, -1),  # exactly half is not more than half
        ({"neutral": 5, "anger": 3, "fear": 1, "disgust": 1}, 0),  # single votes do not count: 5 of 8
        ({"contempt": 6, "unknown": 4}, 7),
        ({"contempt": 4, "unknown": 6}, -1),
        ({"happiness": 3, "nf": 7}, -1),
        ({"happiness": 5, "sadness": 5}, -1),
        (dict.fromkeys((*data.LABELS, "unknown", "nf"), 1), -1),  # nothing is left after cleaning
    ],
)
def test_majority(given: dict[str, int], expected: int) -> None:
    assert data.majority(votes(**given)).tolist() == [expected]


def test_soft_labels_are_shares_of_the_cleaned_expression_votes() -> None:
    shares, fit = data.soft_labels(votes(neutral=6, happiness=2, fear=1, unknown=2))
    assert fit.tolist() == [True]
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("given", [{"neutral": 4, "unknown": 4}, {"neutral": 3, "nf": 7}, {"neutral": 1}])
def test_rows_without_a_clear_expression_are_not_learned_from(given: dict[str, int]) -> None:
    shares, fit = data.soft_labels(votes(**given))
    assert fit.tolist() == [False]
    assert not shares.any()


# --- sides ---------------------------------------------------------------------------------------------------


def test_a_copy_of_a_test_picture_is_not_learned_from() -> None:
    train, test = pictures(200), pictures(20, seed=1)
    train[7] = test[3]
    learned = data.training(ferplus(train=train, test=test)).images
    assert not data.duplicates_of(learned, test).any()
    assert data.duplicates_of(train, test).tolist() == [row == 7 for row in range(200)]


def test_copies_stay_on_one_side_of_the_held_out_split() -> None:
    once = pictures(300)
    twice = ferplus(train=np.concatenate([once, once]), test=pictures(5, seed=1))
    learned, kept = data.training(twice).images, data.measuring(twice, "heldout").images
    assert len(learned) + len(kept) == 600
    assert 0 < len(kept) < 60
    assert not data.duplicates_of(learned, kept).any()


def test_only_rows_with_a_majority_are_measured() -> None:
    some = ferplus(train=pictures(5), test=pictures(3, seed=1))
    mixed = some.votes.copy()
    mixed[6] = votes(neutral=5, anger=5)
    chosen = data.measuring(dataclasses.replace(some, votes=mixed), "publictest")
    assert chosen.labels.tolist() == [1, 1]
    np.testing.assert_array_equal(chosen.images, some.images[[5, 7]])


# --- loading -------------------------------------------------------------------------------------------------


def test_the_folder_and_the_file_hold_the_same_set(tmp_path: Path) -> None:
    both = ferplus(train=pictures(390), test=pictures(30, seed=1))
    labels: dict[str, Any] = {"split": both.split, "ferplus_votes": both.votes}
    np.savez(tmp_path / "ferplus.npz", images=both.images, **labels)
    np.savez(tmp_path / "ferplus_labels.npz", **labels)
    with zipfile.ZipFile(tmp_path / "ferplus_images.zip", "w") as archive:
        for number, tiles in enumerate(np.split(np.resize(both.images, (800, 48, 48)), 2)):
            mosaic = tiles.reshape(20, 20, 48, 48).transpose(0, 2, 1, 3).reshape(960, 960)
            archive.writestr(f"{number}.png", cv2.imencode(".png", mosaic)[1].tobytes())
    for path in (tmp_path, tmp_path / "ferplus.npz"):
        np.testing.assert_array_equal(data.load(path).images, both.images)
        np.testing.assert_array_equal(data.load(path).votes, both.votes)


def arrays(**changed: NDArray[Any]) -> dict[str, NDArray[Any]]:
    some = ferplus(train=pictures(2), test=pictures(1))
    return {"images": some.images, "split": some.split, "ferplus_votes": some.votes} | changed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (arrays(images=np.zeros((3, 64, 64), np.uint8)), r"images: expected u8\[N,48,48\], got uint8\[3, 64, 64\]"),
        (arrays(ferplus_votes=np.zeros((3, 7), np.uint8)), r"votes: expected \[3,10\], got \[3, 7\]"),
        (arrays(split=np.zeros(3, np.uint8)), "both Training"),
        (arrays(split=np.array([0, 1, 2], np.uint8)), "split: expected 3 values 0 or 1"),
        ({"faces": np.zeros(1)}, "cannot be read as FER"),
    ],
)
def test_a_wrong_set_is_refused_in_one_line(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(data.DataError, match=said) as caught:
        data.load(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    for path in (tmp_path / "absent.npz", tmp_path / "text.npz", tmp_path):
        with pytest.raises(data.DataError, match=str(path)):
            data.load(path)


# --- pictures as the network sees them -----------------------------------------------------------------------


def test_the_input_is_exactly_pixel_minus_128() -> None:
    levels = np.resize(np.arange(256, dtype=np.uint8), (1, data.SIDE, data.SIDE))
    stored = evaluate.quantize(data.to_input(levels), evaluate.Tensor("image", (), "int8", 1 / 128, 0))
    np.testing.assert_array_equal(stored[..., 0], levels.astype(np.int16) - 128)


def test_varied_pictures_are_reproducible_and_still_the_same_face() -> None:
    face = np.full((64, data.SIDE, data.SIDE), 90, np.uint8)
    face[:, 16:20, 12:36] = 220
    once, again = (data.augment(face, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert (once.dtype, once.shape) == (face.dtype, face.shape)
    assert len(set(data.digests(once))) == 64
    brighter = once[:, 8:28, 10:38].mean(axis=(1, 2)) > once[:, 36:].mean(axis=(1, 2))
    assert brighter.mean() > 0.9


def test_an_epoch_shows_every_picture_at_most_once() -> None:
    examples = data.Examples(pictures(10), np.eye(10, 8, dtype=np.float32))
    shown = list(data.batches(examples, size=4, rng=np.random.default_rng(0)))
    assert [(images.shape, targets.shape) for images, targets in shown] == [((4, 48, 48, 1), (4, 8))] * 2


# --- figures -------------------------------------------------------------------------------------------------


def test_accuracy_and_f1_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 0, 2])
    metrics = evaluate.measure(np.eye(8, dtype=np.float32)[predicted], labels, temperature=1, name="by hand")
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.per_class["neutral"] == evaluate.PerClass(precision=2 / 3, recall=2 / 3, f1=2 / 3, count=3)
    assert metrics.per_class["happiness"] == evaluate.PerClass(precision=0.5, recall=0.5, f1=0.5, count=2)
    assert metrics.per_class["fear"] == evaluate.PerClass(precision=0, recall=0, f1=0, count=0)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 8)


def test_calibration_error_by_hand() -> None:
    probabilities = np.zeros((4, 8), np.float32)
    probabilities[:, 0] = [0.9, 0.9, 0.5, 0.5]
    probabilities[:, 1] = 1 - probabilities[:, 0]
    # In the bin of 0.9 one of two is right, in that of 0.5 both are: gaps 0.4 and 0.5, half of the pictures each.
    assert evaluate.calibration_error(probabilities, np.array([0, 1, 0, 0])) == pytest.approx(0.45)


def test_calibration_error_is_zero_when_confidence_is_accuracy() -> None:
    probabilities = np.tile(np.array([[0.75, 0.25]], np.float32), (4, 1))
    assert evaluate.calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0, abs=1e-6)


def test_softmax_with_temperature() -> None:
    logits = np.array([[0, np.log(3)]], np.float32)
    np.testing.assert_allclose(softmax(2 * logits, temperature=2), [[0.25, 0.75]], rtol=1e-6)


def test_the_temperature_that_spoiled_the_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 8)).astype(np.float32)
    chances = softmax(logits, temperature=1).cumsum(axis=1)
    labels = (chances < rng.random((4000, 1))).sum(axis=1).clip(0, 7)
    assert evaluate.fit_temperature(1.6 * logits, labels) == pytest.approx(1.6, abs=0.1)


def test_stored_values_come_back() -> None:
    tensor = evaluate.Tensor("logits", (1, 8), "int8", 0.1, -20)
    real = np.array([[-5, -1, 0, 0.1, 1, 2, 3, 5]], np.float32)
    np.testing.assert_allclose(evaluate.dequantize(evaluate.quantize(real, tensor), tensor), real, atol=1e-6)
    assert evaluate.quantize(np.array([[1e6, -1e6]], np.float32), tensor).tolist() == [[127, -128]]


# --- gates ---------------------------------------------------------------------------------------------------

FACTS = {"macs": 1, "parameters": 2, "epochs_done": 3, "epochs": 3, "seed": 4, "precision": "float32"}


def metrics(accuracy: float) -> evaluate.Metrics:
    each = evaluate.PerClass(precision=1 / 3, recall=0.5, f1=0.4, count=7)
    return evaluate.Metrics("by hand", accuracy, 0.7, 0.02, dict.fromkeys(data.LABELS, each))


GOOD = publish.Candidate(
    content=b"a model",
    input=evaluate.Tensor("image", (1, 48, 48, 1), "int8", 1 / 128, 0),
    output=evaluate.Tensor("logits", (1, 8), "int8", 0.1, -3),
    inner_types=frozenset({"int8", "int32"}),
    temperature=0.9,
    float_metrics=metrics(0.86),
    int8_metrics=metrics(0.857),
)


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ({"int8_metrics": metrics(0.829), "float_metrics": metrics(0.83)}, "at least 0.8300, got 0.8290"),
        ({"int8_metrics": metrics(0.85)}, "lost by int8: expected at most 0.005, got 0.0100"),
        ({"content": bytes(1_000_000)}, "below 1000000 bytes"),
        ({"inner_types": frozenset({"int8", "int32", "float32"})}, "got also float32"),
        ({"input": evaluate.Tensor("image", (1, 48, 48, 1), "int8", 2 / 255, -1)}, "pixel - 128"),
        ({"input": evaluate.Tensor("image", (1, 48, 48, 1), "float32", 0, 0)}, "pixel - 128"),
        ({"output": evaluate.Tensor("logits", (1, 7), "int8", 0.1, 0)}, r"output: expected \[1,8\]"),
    ],
)
def test_nothing_passes_a_failed_gate(tmp_path: Path, flaw: dict[str, Any], said: str) -> None:
    (tmp_path / "expression.tflite").write_bytes(b"the last good one")
    with pytest.raises(publish.GateError, match=said):
        publish.publish(dataclasses.replace(GOOD, **flaw), FACTS, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["expression.tflite"]
    assert (tmp_path / "expression.tflite").read_bytes() == b"the last good one"


def test_every_failed_gate_is_named() -> None:
    bad = dataclasses.replace(GOOD, content=bytes(1_000_000), int8_metrics=metrics(0.2))
    assert len(publish.failed_gates(bad, floor=0.83)) == 3


def test_a_good_model_is_written_with_a_card_that_fits(tmp_path: Path) -> None:
    publish.publish(GOOD, FACTS, folder=tmp_path / "models")
    written = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert written == ["expression.json", "expression.tflite"]
    card = json.loads((tmp_path / "models/expression.json").read_text())
    assert card["sha256"] == hashlib.sha256(b"a model").hexdigest()
    assert card["labels"] == list(data.LABELS)
    assert (card["input"]["low"], card["input"]["high"]) == (data.LOW, data.HIGH)
    assert card["metrics"]["int8"]["per_class"]["fear"]["precision"] == 0.3333
    assert evaluate.card_temperature(tmp_path / "models/expression.tflite") == 0.9


def test_the_published_card_describes_the_published_model() -> None:
    card = json.loads((MODELS / "expression.json").read_text())
    content = (MODELS / "expression.tflite").read_bytes()
    assert (card["sha256"], card["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert card["metrics"]["int8"]["accuracy"] >= publish.FLOOR
    assert card["macs"] < 38_500_000


@pytest.mark.parametrize("program", [evaluate.main, publish.main])
def test_a_missing_set_ends_the_command_with_one_line(
    program: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--model", "absent.tflite"] if program is evaluate.main else ["--run", str(tmp_path)]
    assert program(["expression", "--data", str(tmp_path / "absent.npz"), *extra]) == 1
    assert capsys.readouterr().err.count("\n") == 1
