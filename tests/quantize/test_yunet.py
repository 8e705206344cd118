"""quantize/convert/yunet.py and what it is made of: YuNet's ONNX file as a network and as a model for the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.records import Image
from quantize import daemon_stages
from tests.support import yunet_file

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'fer-edge[quantize]'")

from quantize.convert import yunet as command  # noqa: E402
from quantize.data.sets import DataError  # noqa: E402
from quantize.tasks.task import to_input  # noqa: E402
from quantize.tasks.yunet import KINDS, STRIDES, load_yunet  # noqa: E402

NAMES = [f"{name}_{stride}" for stride in STRIDES for name in ("cls", "bbox", "obj", "kps")]  # as our network has them
PICTURES = Path(__file__).parents[2] / "fer_edge" / "camera" / "pictures"


def noise(height: int, width: int) -> Image:
    """A picture whose neighbouring pixels are alike, as in photos."""
    coarse = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return yunet_file.write(tmp_path_factory.mktemp("yunet") / "made_up.onnx")


@pytest.fixture(scope="module")
def converted(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the made-up file's model and card."""
    folder = tmp_path_factory.mktemp("converted")
    (folder / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), np.roll(noise(90, 120), 30 * number, axis=1))
    assert (
        command.main([str(made_up), "--pictures", str(folder / "pictures"), "--out", str(folder), "--size", "96", "64"])
        == 0
    )
    return folder


def test_the_network_answers_as_the_file_does(made_up: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    gray = noise(64, 96)
    colours = np.repeat(gray[None, None], 3, axis=1).astype(np.float32)
    expected = ReferenceEvaluator(str(made_up)).run(NAMES, {"input": colours})
    found = load_yunet(made_up, features=False)(to_input(gray[None]))
    for name, theirs, ours in zip(NAMES, expected, found, strict=True):
        spread = np.abs(theirs).max()
        np.testing.assert_allclose(np.asarray(ours).transpose(0, 3, 1, 2), theirs, atol=1e-4 * spread, err_msg=name)


def test_the_daemon_runs_the_converted_file_at_any_size(made_up: Path, converted: Path) -> None:
    model = daemon_stages.open_model(converted / "yunet.tflite", "detector")
    assert (model.size, model.card.ssd and model.card.ssd.coding) == ((96, 64), "yunet")
    model.resize(width=64, height=96)
    gray = noise(96, 64)
    real = load_yunet(made_up, features=False)(to_input(gray[None]))
    pairs = zip(model.infer(gray), real, strict=True)
    alike = [np.corrcoef(ours.ravel(), np.asarray(theirs).ravel())[0, 1] for ours, theirs in pairs]
    assert min(alike) > 0.9
    daemon_stages.detector(model, min_score=0.01)(daemon_stages.frame_of(noise(240, 320)))


def test_the_outputs_have_one_order_in_network_and_card(converted: Path) -> None:
    model = daemon_stages.open_model(converted / "yunet.tflite", "detector")
    assert [output.shape[-1] for output in model.card.outputs] == [*KINDS.values()] * 3
    assert [output.shape[1] for output in model.card.outputs] == [8] * 4 + [4] * 4 + [2] * 4


def test_another_networks_file_is_refused_in_a_line(tmp_path: Path) -> None:
    narrow = yunet_file.write(tmp_path / "narrow.onnx", width=32)
    with pytest.raises(DataError, match=r"narrow.onnx: convolution 5: expected YuNet_n's kernel \(1, 1, 16, 64\)"):
        load_yunet(narrow)


@pytest.mark.parametrize("content", [b"", b"no ONNX file", b"\x08\x03"])
def test_a_file_that_is_none_is_refused_in_a_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(content)
    assert command.main([str(path), "--pictures", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: ")
    assert message.count("\n") == 1


def test_a_size_that_no_grid_fits_is_refused(made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(made_up), "--pictures", str(tmp_path), "--size", "320", "240"]) == 1
    assert capsys.readouterr().err == "error: --size: expected multiples of 32 px, got 320 240\n"


def test_the_real_file_finds_the_faces_that_opencv_finds_with_it(tmp_path: Path) -> None:
    real = os.environ.get("FER_EDGE_TEST_YUNET")
    if not real:
        pytest.skip("FER_EDGE_TEST_YUNET names no ONNX file of YuNet_n")
    assert command.main([real, "--pictures", str(PICTURES), "--out", str(tmp_path)]) == 0
    detector = daemon_stages.detector(daemon_stages.open_model(tmp_path / "yunet.tflite", "detector"), min_score=0.6)
    found = 0
    for path in sorted(PICTURES.glob("*.jpg")):
        gray = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        scale = min(320 / gray.shape[1], 256 / gray.shape[0])
        small = cv2.cvtColor(
            cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR
        )
        _, theirs = cv2.FaceDetectorYN.create(real, "", small.shape[1::-1], score_threshold=0.7).detect(small)
        ours = np.array([face.box.center for face in detector(daemon_stages.frame_of(gray))]).reshape(-1, 2)
        for x, y, width, height in np.zeros((0, 4)) if theirs is None else theirs[:, :4] / scale:
            away = np.abs(ours - (x + width / 2, y + height / 2)) / (width, height)
            assert away.max(axis=1).min() < 0.15, path.name
            found += 1
    assert found > 0
