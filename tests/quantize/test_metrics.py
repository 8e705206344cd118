"""metrics.py against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.vision.classifier import softmax
from quantize import metrics
from quantize.metrics import PerClass

# --- expressions ---------------------------------------------------------------------------------------------

TABLE = metrics.confusion(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2]), classes=4)


def test_rows_of_the_confusion_are_what_is_right() -> None:
    assert TABLE.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert metrics.accuracy(TABLE) == pytest.approx(4 / 6)


def test_precision_recall_and_f1() -> None:
    assert metrics.per_class(TABLE) == [
        PerClass(precision=2 / 3, recall=2 / 3, f1=2 / 3, count=3),
        PerClass(precision=0.5, recall=0.5, f1=0.5, count=2),
        PerClass(precision=1, recall=1, f1=1, count=1),
        PerClass(precision=0, recall=0, f1=0, count=0),
    ]


def test_macro_f1_leaves_out_what_is_neither_there_nor_said() -> None:
    assert metrics.macro_f1(TABLE) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_macro_f1_counts_what_is_there_and_never_said() -> None:
    assert metrics.macro_f1(np.array([[3, 0], [1, 0]])) == pytest.approx((6 / 7 + 0) / 2)


def sure(*confidences: float) -> NDArray[np.float32]:
    """Answers for the first of two classes."""
    first = np.array(confidences, np.float32)
    return np.stack([first, 1 - first], axis=1)


def test_calibration_error() -> None:
    # In the bin of 0.9 one of two is right, in that of 0.6 both are: gaps 0.4, half of the pictures each.
    assert metrics.calibration_error(sure(0.9, 0.9, 0.6, 0.6), np.array([0, 1, 0, 0])) == pytest.approx(0.4, abs=1e-6)


def test_calibration_error_is_zero_when_confidence_is_accuracy() -> None:
    assert metrics.calibration_error(sure(*[0.75] * 4), np.array([0, 0, 0, 1])) == pytest.approx(0, abs=1e-6)


def test_biases_bring_chosen_classes_to_their_shares() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(400, 4)).astype(np.float32) - np.array([0, 0, 3, 3], np.float32)
    shares = np.tile(np.array([0.5, 0.35, 0.15, 0.0], np.float32), (400, 1))
    biases = metrics.fit_biases(logits, shares, rows=[2, 3])
    assert biases[[0, 1, 3]].tolist() == [0, 0, 0]  # nobody asked for the first two; nothing is known of the last
    assert softmax(logits, temperature=1.0)[:, 2].mean() < 0.05
    assert softmax(logits + biases, temperature=1.0)[:, 2].mean() == pytest.approx(0.15, abs=1e-4)


def test_reliability_bins() -> None:
    bins = metrics.reliability(sure(0.5, 0.625, 0.75, 1.0), np.array([0, 1, 0, 0]), bins=4)
    assert bins.count.tolist() == [0, 1, 2, 1]  # 0.5 and 0.75 close the bins below them
    assert bins.confidence.tolist() == [0, 0.5, 0.6875, 1]
    assert bins.accuracy.tolist() == [0, 1, 0.5, 1]


def test_the_temperature_that_spoiled_the_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 8)).astype(np.float32)
    chances = softmax(logits).cumsum(axis=1)
    labels = (chances < rng.random((4000, 1))).sum(axis=1).clip(0, 7)
    assert metrics.fit_temperature(1.6 * logits, labels) == pytest.approx(1.6, abs=0.1)


# --- boxes ---------------------------------------------------------------------------------------------------

FACES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 44, 4]], np.float32)  # the last is too small to count
COUNTED = np.array([True, True, False])


def matched(*boxes: tuple[float, tuple[float, float, float, float]]) -> metrics.Matched:
    """Boxes with their scores against FACES."""
    scores = np.array([score for score, _ in boxes], np.float32)
    return metrics.match(np.array([box for _, box in boxes], np.float32).reshape(-1, 4), scores, FACES, COUNTED)


def average_precision(*pictures: metrics.Matched) -> float:
    return metrics.average_precision(metrics.curve(pictures, faces=2 * len(pictures)))


def test_overlaps() -> None:
    boxes = np.array([[0, 0, 10, 5], [100, 100, 101, 101]], np.float32)
    assert metrics.overlaps(boxes, FACES).tolist() == [[0.5, 0, 0], [0, 0, 0]]


def test_a_box_finds_a_face_from_half_an_overlap_on() -> None:
    found = matched((0.9, (0, 0, 10, 5)), (0.8, (20, 0, 30, 4.9)))
    assert found.right.tolist() == [True, False]
    assert found.found.tolist() == [True, False, False]
    assert found.wrong() == 1


def test_a_second_box_on_a_face_is_wrong_whatever_its_place_in_the_list() -> None:
    found = matched((0.5, (0, 0, 10, 10)), (0.9, (0, 0, 10, 9)))
    assert found.right.tolist() == [False, True]
    assert found.wrong() == 1


def test_a_second_box_takes_the_other_face_that_it_lies_on() -> None:
    faces = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    both = metrics.match(boxes, np.array([0.9, 0.8], np.float32), faces, np.array([True, True]))
    assert both.right.tolist() == [True, True]


def test_boxes_on_a_face_that_does_not_count_are_neither_right_nor_wrong() -> None:
    found = matched((0.9, (40, 0, 44, 4)), (0.8, (40, 0, 44, 3.5)), (0.7, (0, 0, 10, 10)))
    assert found.asked.tolist() == [False, False, True]
    assert found.wrong() == 0
    assert average_precision(found) == pytest.approx(0.5)  # one of two faces, without an error


def test_a_picture_without_faces_or_boxes() -> None:
    nothing = np.empty((0, 4), np.float32)
    none = metrics.match(nothing, np.empty(0, np.float32), nothing, np.empty(0, np.bool_))
    assert none.wrong() == 0
    alone = metrics.match(FACES[:1], np.ones(1, np.float32), nothing, np.empty(0, np.bool_))
    assert alone.wrong() == 1
    assert metrics.average_precision(metrics.curve([none], faces=0)) == 0


def test_average_precision() -> None:
    first = matched((0.9, (0, 0, 10, 10)), (0.8, (60, 0, 70, 10)), (0.6, (20, 0, 30, 10)))
    second = matched((0.7, (0, 0, 10, 10)))
    # Best first: right, wrong, right, right. Precision 1, 1/2, 2/3, 3/4 at recall 1/4, 1/4, 2/4, 3/4 of four faces;
    # with the best from there on: 1/4 x 1 + 1/4 x 3/4 + 1/4 x 3/4.
    curve = metrics.curve([first, second], faces=4)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4])
    np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7, 0.6])
    assert metrics.average_precision(curve) == pytest.approx(1 / 4 + 3 / 16 + 3 / 16)


def test_average_precision_is_one_when_all_are_found_and_nothing_else() -> None:
    assert average_precision(matched((0.3, (0, 0, 10, 10)), (0.2, (20, 0, 30, 10)))) == pytest.approx(1)


# --- points --------------------------------------------------------------------------------------------------


def test_errors_are_in_distances_of_the_outer_eye_corners() -> None:
    true = np.zeros((2, 68, 2), np.float32)
    true[:, 45] = (30, 40)  # 50 px from point 36
    found = true.copy()
    found[0, :17] += (3, 4)  # the jaw is off by 5 px
    found[1] += (0, 10)
    errors = metrics.point_errors(found, true)
    np.testing.assert_allclose(errors[0], [0.1] * 17 + [0] * 51, atol=1e-6)
    np.testing.assert_allclose(errors[1], [0.2] * 68, rtol=1e-6)
    np.testing.assert_allclose(errors[:, metrics.INNER].mean(axis=1), [0, 0.2], atol=1e-6)


def test_the_cumulative_distribution_counts_up_to_and_with_the_limit() -> None:
    shares = metrics.cumulative(np.array([0.3, 0.1, 0.2, 0.5], np.float32), np.array([0, 0.1, 0.25, 1], np.float32))
    assert shares.tolist() == [0, 0.25, 0.5, 1]


# --- how sure figures are ------------------------------------------------------------------------------------


def test_an_interval_of_independent_rows_is_about_that_of_a_share() -> None:
    right = np.arange(400) % 2 == 0
    ((low, high),) = metrics.bootstrap(lambda rows: [right[rows].mean()], range(400))
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.01)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.01)


def test_rows_of_one_group_are_drawn_together() -> None:
    right = np.arange(400) % 2 == 0
    ((low, high),) = metrics.bootstrap(lambda rows: [right[rows].mean()], [row % 2 for row in range(400)])
    assert (low, high) == (0, 1)  # two groups: both may be the same one


def test_a_figure_that_no_sample_has_has_no_interval() -> None:
    (known, unknown) = metrics.bootstrap(lambda _: [1.0, float("nan")], range(5))
    assert [known, [math.isnan(end) for end in unknown]] == [(1, 1), [True, True]]
