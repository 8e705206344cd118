"""evaluate.py and what it measures with: real models on made-up sets; plots skip where matplotlib is absent."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.records import LABELS, Floats
from fer_edge.records import Box as FrameBox
from quantize import daemon_stages
from quantize.data.ferplus import Labelled
from quantize.data.locate import labels_sha256
from quantize.data.sets import DataError, Still, held_out_scenes, held_out_stills, pick
from quantize.evaluate import command, end_to_end, expression, landmarks, robustness
from quantize.evaluate.landmarks import Placed
from tests.support.made_up_sets import (
    Box,
    made_up_ferplus,
    made_up_points,
    png,
    squares,
    write_crowd,
    write_npz,
    write_stills,
    write_zip,
)
from tests.support.paths import DATA, MODELS

BRIGHT = DATA  # tiny detectors that take bright squares for faces
WHITE: Box = (32, 24, 40, 32)  # what `bright` takes for a face,
FACE: Box = (28, 20, 44, 36)  # and where it says the face is: a quarter of the photo's short side high


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The figures that a command prints as JSON."""
    assert command.main([*map(str, arguments), "--json"]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


# --- expression ----------------------------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "ferplus.npz", made_up_ferplus(train=40, test=24))


def test_expression_in_json(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(capsys, "expression", "--model", MODELS / "expression.tflite", "--data", faces)
    assert {"accuracy", "macro_f1", "ece", "per_class"} <= figures.keys()
    assert list(figures["per_class"]) == list(LABELS)
    assert figures["per_class"]["fear"].keys() == {"precision", "recall", "f1", "count"}
    assert figures["pictures"] == np.sum(figures["confusion"]) == 24
    assert figures["accuracy"] == pytest.approx(np.trace(figures["confusion"]) / 24, abs=1e-4)


def test_expression_as_a_table(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(MODELS / "expression.tflite")
    assert command.main(["expression", "--model", model, "--data", str(faces), "--conditions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "24 pictures" in lines[1]
    assert [line.split()[0] for line in lines[4:12]] == list(LABELS)
    assert lines[-1].startswith("turned 20 degrees")


def test_expression_figures_by_hand() -> None:
    logits = np.eye(8, dtype=np.float32)[[1, 1, 3]] * 100
    answers = expression.Answers(logits, np.array([1, 3, 3]))
    figures = expression.measure(answers, temperature=1, name="by hand")
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.per_class["sadness"].recall == 0.5
    assert figures.confusion[3][1] == 1
    assert figures.ece == pytest.approx(1 / 3)
    assert "happiness 1" in expression.table(figures)[3 + 3]
    assert figures.least_recall == 0.5  # of those that are there
    low, high = figures.intervals["accuracy"]
    assert 0 <= low < 2 / 3 < high <= 1
    assert figures.intervals.keys() == {"accuracy", "macro_f1", "ece", "recall of happiness", "recall of sadness"}


# --- detector ------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One face that is found, one that is not, one too small to count, and a bright square that is no face."""
    dark, small, other = (60.0, 30.0, 84.0, 54.0), (80.0, 8.0, 84.0, 12.0), (0.0, 50.0, 9.0, 59.0)
    return write_crowd(
        tmp_path / "crowd_faces.zip",
        {
            "a.png": (
                squares([WHITE]),
                [(FACE, "sin_mascarilla"), (dark, "con_mascarilla"), (small, "con_mascarilla")],
            ),
            "b.png": (squares([WHITE]), [(other, "con_mascarilla")]),
        },
    )


@pytest.mark.parametrize("model", ["bright", "bright_float"])
def test_detector_by_hand(model: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(capsys, "detector", "--model", BRIGHT / f"{model}.tflite", "--data", photos, "--conditions")
    assert (figures["images"], figures["faces"]) == (2, 3)
    assert figures["recall"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["recall_16"] == pytest.approx(1 / 2)
    assert figures["fp_per_image"] == pytest.approx(0.5)
    assert figures["ap"] == pytest.approx(1 / 3, abs=1e-4)  # among equal scores the first photo's come first
    assert figures["threshold"] == daemon_stages.DEFAULT_THRESHOLD
    assert figures["includes_training"] is None  # the card does not say
    found = figures["conditions"]
    assert found["bare"] == {"faces": 1, "recall": 1.0}
    assert found["masked"] == {"faces": 2, "recall": 0.0}
    assert found["faces of 12% to 16%"] == {"faces": 1, "recall": 0.0}
    assert "mask worn wrong" not in found


def test_the_daemons_limits_do_not_clip_the_measurement() -> None:
    """More faces than `max_faces`, all smaller than `min_face_px`."""
    many = [(x, y, x + 8, y + 8) for x in range(0, 96, 16) for y in range(0, 64, 16)]
    detector = daemon_stages.detector(daemon_stages.open_model(BRIGHT / "bright.tflite", "detector"))
    faces = detector(daemon_stages.frame_of(squares(many)))
    assert [round(face.box.height) for face in faces] == [16] * 24


# --- landmarks -----------------------------------------------------------------------------------------------


def test_landmark_figures_by_hand() -> None:
    errors = np.full((4, 68), 0.02, np.float32)
    errors[0] = 0.2
    errors[1, :17] = 0.1
    stills = [Still(f"Some_Body_{n}", np.zeros((9, 9), np.uint8), np.zeros((68, 2), np.float32)) for n in range(4)]
    placed = Placed(errors, np.array([0.9, 0.4, 0.6, 0.5], np.float32))
    figures = landmarks.measure(placed, stills, name="by hand")
    assert (figures.images, figures.people) == (4, 1)
    assert figures.nme51 == pytest.approx((0.2 + 3 * 0.02) / 4)
    assert figures.nme68 == pytest.approx((0.2 + (17 * 0.1 + 51 * 0.02) / 68 + 2 * 0.02) / 4)
    assert (figures.failed, figures.presence_recall) == (0.25, 0.75)
    assert "0.0650" in landmarks.table(figures)[1]


def test_the_crop_is_upright_around_the_true_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the middle of the points' box lies in the middle of the crop, and the factor is the card's."""
    rng = np.random.default_rng(1)
    still = Still("Some_Body_0", rng.integers(0, 255, (200, 200), np.uint8), made_up_points(rng))
    seen: list[Any] = []

    class Model:
        size = (80, 80)
        card = type("Card", (), {"points": type("Points", (), {"points_scale": 1.25})})

    def place(_: Any, __: Any, matrix: Any) -> Any:
        seen.append(matrix)
        return type("Landmarks", (), {"points": still.points + 1, "score": 1.0})

    monkeypatch.setattr(daemon_stages, "landmarks", place)
    placed = landmarks.place(Model(), [still])  # type: ignore[arg-type]
    low, high = still.points.min(axis=0), still.points.max(axis=0)
    side = 1.25 * (high - low).max()
    np.testing.assert_allclose(seen[0][:, :2], np.eye(2) * 80 / side, rtol=1e-5)
    np.testing.assert_allclose(seen[0] @ [*(low + high) / 2, 1], [40, 40], rtol=1e-5)
    np.testing.assert_allclose(placed.errors, np.full((1, 68), np.sqrt(2) / 36), rtol=1e-4)


# --- conditions ----------------------------------------------------------------------------------------------


def test_a_face_of_few_px_has_lost_its_detail() -> None:
    image = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (24, 24))
    coarse = robustness.coarse(image, 48, side_px=24)
    assert coarse.shape == image.shape
    assert np.ptp(coarse) <= 1
    np.testing.assert_array_equal(robustness.coarse(image, 48, side_px=48), image)


def test_dimmed_pictures_keep_their_share_of_the_light() -> None:
    image = np.array([[0, 100, 255]], np.uint8)
    assert robustness.dimmed(image, 1, light=0.1).tolist() == [[0, 10, 26]]


def test_turning_goes_around_the_middle() -> None:
    image = np.zeros((49, 49), np.uint8)
    image[24, 24], image[10, 24] = 255, 200
    turned = robustness.turned(image, 49, degrees=90)
    assert turned[24, 24] == 255
    assert turned[24, 10] == 200  # counter-clockwise: what was at the top is at the left


# --- end to end ----------------------------------------------------------------------------------------------


def test_faces_are_pasted_into_pictures_kept_from_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 30), dtype=np.uint8) for _ in range(40)]
    path = write_zip(tmp_path / "scenes.zip", {f"scenes/{n:02}.png": png(each) for n, each in enumerate(pictures)})
    kept = held_out_scenes(pictures)
    assert 0 < kept.sum() < len(pictures)
    used = end_to_end.backgrounds(path)
    assert [each.tobytes() for each in used] == [each.tobytes() for each in pick(pictures, kept)]


def test_a_face_is_pasted_where_it_is_said_to_be() -> None:
    face, scenes = np.full((48, 48), 255, np.uint8), [np.zeros((90, 120), np.uint8)]
    for side in end_to_end.SIDES_PX:
        frame, box = end_to_end.pasted(face, scenes, side, np.random.default_rng(side))
        assert frame.shape[::-1] in end_to_end.FRAMES
        inside = frame[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        assert inside.shape == (side, side)
        assert inside.min() == 255
        assert np.sum(frame == 255) == side * side


def test_a_face_that_is_not_found_counts_as_wrong() -> None:
    chosen = Labelled(np.zeros((4, 48, 48), np.uint8), np.array([1, 1, 1, 1]))
    answers = [(1, None), (1, "blurred"), (3, None), (None, None)]
    figures = end_to_end.size_figures([end_to_end.Answer(*each) for each in answers], chosen, 0.75)
    assert (figures.found, figures.accuracy, figures.gap_points) == (0.75, 0.5, 25)
    assert figures.accuracy_found == pytest.approx(2 / 3)
    assert figures.abstained == pytest.approx(1 / 3)
    assert figures.reasons == {"blurred": 1}


def test_only_a_face_within_the_picture_is_its_face() -> None:
    def track(x: float) -> Any:
        return type("Track", (), {"box": FrameBox(x - 10, 40, x + 10, 60)})

    where = FrameBox(0, 0, 100, 100)
    near, far = track(60), track(170)
    assert end_to_end.nearest((far, near), where) is near
    assert end_to_end.nearest((far,), where) is None
    assert end_to_end.nearest((), where) is None


# --- plots ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # matplotlib's own
def test_plots_are_written(faces: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("plots need matplotlib: pip install 'fer-edge[quantize]'")
    run(capsys, "expression", "--model", MODELS / "expression.tflite", "--data", faces, "--plots", tmp_path / "plots")
    run(capsys, "detector", "--model", BRIGHT / "bright.tflite", "--data", photos, "--plots", tmp_path / "plots")
    written = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert written == ["detector_precision_recall.png", "expression_confusion.png", "expression_reliability.png"]


# --- what may go wrong ---------------------------------------------------------------------------------------


def error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that a command ends with."""
    assert command.main([str(each) for each in arguments]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_a_missing_set_or_model_is_one_line(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, absent = MODELS / "expression.tflite", tmp_path / "absent.npz"
    assert "absent.npz: no such file" in error(capsys, "expression", "--model", model, "--data", absent)
    assert "no.tflite: no such model file" in error(
        capsys, "expression", "--model", tmp_path / "no.tflite", "--data", faces
    )
    assert "expected a .tflite file" in error(capsys, "expression", "--model", faces, "--data", faces)
    wrong = error(capsys, "expression", "--model", model, "--data", faces, "--threads", "0")
    assert "--threads: expected at least 1, got 0" in wrong
    assert "expected role 'landmarks'" in error(capsys, "landmarks", "--model", model, "--data", tmp_path)


def test_a_model_under_another_models_card_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bright", "other"):
        for suffix in (".json", ".tflite"):
            shutil.copy(BRIGHT / f"bright{suffix}", tmp_path / f"{name}{suffix}")
    message = error(capsys, "detector", "--model", tmp_path / "other.tflite", "--data", tmp_path)
    assert "expected the card of other.tflite, got that of bright.tflite" in message


def test_training_pictures_are_pointed_out(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = json.loads((BRIGHT / "bright.json").read_text())
    card["training"] = {"labels_sha256": labels_sha256("detector", photos)}
    (tmp_path / "bright.json").write_text(json.dumps(card))
    shutil.copy(BRIGHT / "bright.tflite", tmp_path / "bright.tflite")
    arguments = ["detector", "--model", str(tmp_path / "bright.tflite"), "--data", str(photos)]
    assert command.main(arguments) == 0
    assert "includes pictures that the model was trained on" in capsys.readouterr().out
    assert run(capsys, *arguments)["includes_training"] is True
    assert run(capsys, *arguments, "--split", "heldout")["includes_training"] is False


def test_stills_need_somebody(tmp_path: Path) -> None:
    path = write_stills(tmp_path / "landmarks68.zip", people=1)
    with pytest.raises(DataError, match="no stills"):
        landmarks.read(path, split="heldout" if not kept(path) else "train")


def kept(path: Path) -> bool:
    """Whether the one person of a set is kept from training."""
    stills = landmarks.read(path, split="all")[0]
    return bool(held_out_stills(stills).all())


def test_logits_of_crops_of_any_size() -> None:
    model = daemon_stages.open_model(MODELS / "expression.tflite", "expression")
    crops = np.random.default_rng(0).integers(0, 255, (2, 96, 96), np.uint8)
    answers: Floats = daemon_stages.logits(model, crops)
    assert answers.shape == (2, 8)
    assert daemon_stages.logits(model, crops[:0]).shape == (0, 8)
