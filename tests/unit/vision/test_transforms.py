"""image.py: geometry that training and running share."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.vision import transforms

finite = st.floats(-500, 500)


def test_normalise_maps_the_ends() -> None:
    values = transforms.normalise(np.array([0, 255], np.uint8), -1.0, 1.0)
    assert values.dtype == np.float32
    assert values.tolist() == pytest.approx([-1.0, 1.0])


@given(st.integers(1, 400), st.integers(1, 400))
def test_letterbox_keeps_the_aspect_and_leads_back(width: int, height: int) -> None:
    canvas, matrix = transforms.letterbox(np.full((height, width, 3), 255, np.uint8), 192, 128)
    assert canvas.shape == (128, 192, 3)
    shrink = max(1, int(1 / min(192 / width, 128 / height)))
    seen = [size - size % shrink if size >= shrink else size for size in (width, height)]
    corners = transforms.transform(np.array([[0, 0], seen], np.float32), matrix)
    inside = corners[1] - corners[0]
    assert inside[0] <= 192.001
    assert inside[1] <= 128.001
    assert max(inside[0] / 192, inside[1] / 128) == pytest.approx(1, abs=0.01)
    back = transforms.transform(corners, transforms.invert(matrix))
    assert back[1] == pytest.approx(seen, abs=0.01)
    assert canvas.sum() == pytest.approx(255 * 3 * inside[0] * inside[1], rel=0.01)  # the rest is black


def test_letterbox_turns_fine_detail_to_gray_and_not_to_noise() -> None:
    stripes = np.zeros((480, 640), np.uint8)
    stripes[:, ::2] = 200
    canvas, _ = transforms.letterbox(stripes, 256, 192)
    assert canvas.std() < 5
    assert canvas.mean() == pytest.approx(100, abs=2)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=68), st.floats(0.1, 10), st.floats(-3, 3))
def test_transform_is_the_matrix_product_to_the_last_bit_but_one(
    points: list[tuple[float, float]], scale: float, angle: float
) -> None:
    matrix = transforms.square_crop_matrix((3.0, 4.0), 80 / scale, angle, 80)
    source = np.array(points, np.float32)
    found = transforms.transform(source, matrix)
    product = (source.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    assert found.dtype == np.float32
    assert found.shape == source.shape
    assert found == pytest.approx(product, rel=2e-7, abs=1e-9)


@pytest.mark.parametrize("shape", [(0, 2), (0, 5, 2), (1, 2), (3, 5, 2), (2, 2, 2)])
def test_transform_keeps_the_shape(shape: tuple[int, ...]) -> None:
    source = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    matrix = transforms.square_crop_matrix((3.0, 4.0), 8.0, 0.5, 80)
    found = transforms.transform(source, matrix)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert found == pytest.approx(source.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2], rel=1e-5)


def test_the_eyes_are_the_first_two_anchors_and_all_are_means() -> None:
    points = np.random.default_rng(1).uniform(0, 400, (68, 2)).astype(np.float32)
    anchors = transforms.anchors3(points)
    assert anchors.dtype == np.float32
    assert np.array_equal(anchors[:2], transforms.eyes(points))
    means = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48:60].mean(axis=0)]
    assert np.array_equal(anchors, np.array(means))


@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 5, 8, 15, 16, 17])
@pytest.mark.parametrize("depth", [(), (3,)], ids=["gray", "colours"])
def test_averaged_is_the_mean_of_each_block_to_the_bit(shrink: int, depth: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(shrink).integers(0, 256, (shrink * 7 + 1, shrink * 9 + shrink // 2, *depth))
    image = pixels.astype(np.uint8)
    rows, columns = image.shape[0] // shrink, image.shape[1] // shrink
    whole = image[: rows * shrink, : columns * shrink]
    expected = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    found = transforms.averaged(image, shrink)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    canvas = np.zeros((rows + 2, columns + 3, *depth), np.uint8)
    transforms.averaged(image, shrink, into=canvas[1:-1, 2:-1])
    assert np.array_equal(canvas[1:-1, 2:-1], expected)
    assert canvas.sum() == expected.sum()  # nothing beside it


def test_a_picture_thinner_than_a_block_is_averaged_across() -> None:
    line = np.array([[10, 20]] * 9, np.uint8)
    assert transforms.averaged(line, 3).tolist() == [[15], [15], [15]]
    assert transforms.averaged(line.T, 3).tolist() == [[15, 15, 15]]


def test_the_brightest_blocks_do_not_run_over() -> None:
    white = np.full((64, 80), 255, np.uint8)
    assert (transforms.averaged(white, 16) == 255).all()
    assert (transforms.averaged(white[:51, :51], 17) == 255).all()


@given(finite, finite, st.floats(0.1, 10), st.floats(-3, 3))
def test_similarity_finds_the_transform_that_made_the_points(x: float, y: float, scale: float, angle: float) -> None:
    source = np.array([[0, 0], [40, 3], [11, 50]], np.float32)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    target = (source @ turn.T + (x, y)).astype(np.float32)
    found = transforms.transform(source, transforms.similarity(source, target))
    assert found == pytest.approx(target, abs=0.02)


def test_square_takes_its_centre_to_the_middle_and_turns_it_level() -> None:
    angle = math.radians(30)
    matrix = transforms.square_crop_matrix((100.0, 50.0), 40.0, angle, 80)
    right = (100 + 10 * math.cos(angle), 50 + 10 * math.sin(angle))
    found = transforms.transform(np.array([(100, 50), right], np.float32), matrix)
    assert found[0] == pytest.approx([40, 40], abs=1e-3)
    assert found[1] == pytest.approx([60, 40], abs=1e-3)


@pytest.mark.parametrize("side", [24.0, 48.0, 240.0])
def test_warp_puts_a_spot_where_the_matrix_says(side: float) -> None:
    picture = np.zeros((400, 400), np.uint8)
    cv2.circle(picture, (145, 136), round(side / 12), 255, -1)  # its middle is at 145.5, 136.5
    matrix = transforms.square_crop_matrix((140.0, 140.0), side, 0.0, 48)
    crop = transforms.warp(picture, matrix, 48).astype(float)
    ys, xs = np.mgrid[0:48, 0:48] + 0.5
    middle = [(xs * crop).sum() / crop.sum(), (ys * crop).sum() / crop.sum()]
    expected = transforms.transform(np.array([[145.5, 136.5]], np.float32), matrix)[0]
    assert middle == pytest.approx(expected, abs=0.15)


def test_warp_averages_what_it_shrinks() -> None:
    chequered = np.indices((480, 480)).sum(axis=0) % 2 * np.uint8(255)
    crop = transforms.warp(
        chequered.astype(np.uint8), transforms.square_crop_matrix((240.0, 240.0), 480.0, 0.0, 48), 48
    )
    assert crop.std() < 3  # without averaging it would be noise of 0 and 255
    assert crop.mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("center", [(-900.0, -900.0), (50.0, 5000.0), (0.0, 0.0)])
def test_warp_beyond_the_picture_repeats_its_edge(center: tuple[float, float]) -> None:
    crop = transforms.warp(
        np.full((100, 100, 3), 77, np.uint8), transforms.square_crop_matrix(center, 300.0, 0.3, 48), 48
    )
    assert crop.shape == (48, 48, 3)
    assert (crop == 77).all()


def test_warp_takes_a_picture_of_one_pixel() -> None:
    crop = transforms.warp(np.full((1, 1), 9, np.uint8), transforms.square_crop_matrix((0.5, 0.5), 100.0, 0.0, 48), 48)
    assert (crop == 9).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (80, 60)), ((1920, 1080), (120, 67)), ((767, 433), (95, 54)), ((79, 60), (79, 60)), ((1, 1), (1, 1))],
)
def test_a_picture_is_halved_while_it_stays_large_enough(size: tuple[int, int], expected: tuple[int, int]) -> None:
    down = np.repeat(np.linspace(0, 255, size[1])[:, None], size[0], axis=1).astype(np.uint8)
    small = transforms.halved(down, least=(80, 54))
    assert small.shape == expected[::-1]
    assert float(small.mean()) == pytest.approx(float(down.mean()), abs=2)
    assert (np.diff(small.astype(int), axis=0) >= 0).all()
