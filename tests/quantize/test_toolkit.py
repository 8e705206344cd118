"""The whole toolkit on tiny made-up sets, for every role: train, to_int8, evaluate, publish. Skipped without Keras."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.support import yunet_file
from tests.support.made_up_sets import write_everything

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

from fer_edge.vision import transforms
from fer_edge.vision.detector import Detector
from fer_edge.vision.landmarks import crop_around_points
from fer_edge.vision.model_card import Role
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.convert import layer_report, to_int8
from quantize.data import mesh_faces
from quantize.data.sets import DataError, Floats, Image
from quantize.evaluate import command as evaluate
from quantize.evaluate import detector, expression, landmarks
from quantize.files import cards
from quantize.files.runs import read_plan
from quantize.files.tflite_graph import Graph
from quantize.publish import command as publish
from quantize.publish.gates import ERRORS, FLOORS, INTEGERS, MOST_BYTES, MOST_MACS
from quantize.tasks.task import open_task
from quantize.train import command as train

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # TensorFlow's own
    pytest.mark.timeout(900),  # half a minute of work for two cores, but machines that train have none to spare
]

TOGETHER: tuple[Role, ...] = ("expression", "detector", "landmarks")
ROLES: tuple[Role, ...] = (*TOGETHER, "intensity")
TOP_LEVEL = {
    "expression": {"accuracy", "macro_f1", "ece", "per_class"},
    "detector": {"ap", "recall", "fp_per_image"},
    "landmarks": {"nme51", "nme68", "heads"},
    "intensity": {"told", "correlations", "aucs"},
}
FIRST_FLOOR = {"expression": "accuracy", "detector": "ap", "landmarks": "nme51", "intensity": "told"}
SMALL = {
    "quantize.tasks.expression": {"BATCH": 32, "SAMPLE": 16},
    "quantize.tasks.detector": {"BATCH": 2, "SCENES": 4, "SAMPLE": 6, "Detector.steps": 2},
    "quantize.tasks.landmarks": {"VIEWS": 2, "SAMPLE": 16},
    "quantize.tasks.intensity": {"BATCH": 8, "SAMPLE": 16, "Intensity.steps": 2},
}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@dataclass(frozen=True)
class Made:
    """What one role's toolkit has left behind."""

    role: Role
    data: Path
    run: Path

    @property
    def int8(self) -> Path:
        return self.run / f"{self.role}.tflite"

    @property
    def real(self) -> Path:
        return self.run / f"{self.role}_float.tflite"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_everything(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def make(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Role], Made]:
    """One epoch of a role's training, and its two files; each role once."""

    @cache
    def made(role: Role) -> Made:
        run = tmp_path_factory.mktemp(role)
        with pytest.MonkeyPatch.context() as patch:
            for module, values in SMALL.items():
                importlib.import_module(module)
                for name, value in values.items():
                    patch.setattr(f"{module}.{name}", value)
            options = {"yunet": str(yunet_file.write(run / "made_up.onnx"))} if role == "detector" else {}
            plan = train.Plan(role=role, epochs=1, seed=1, precision="float32", options=options)
            train.fit(plan, open_task(role, sets, **options), out=run)
            assert to_int8.main([role, "--data", str(sets), "--run", str(run)]) == 0
        return Made(role, sets, run)

    return made


@pytest.fixture(scope="module", params=ROLES)
def made(request: pytest.FixtureRequest, make: Callable[[Role], Made]) -> Made:
    return make(request.param)


def published(made: Made, models: Path) -> int:
    """Publish, whatever the quality."""
    floors = [f"{name}={999 if name in ERRORS else 0}" for name in FLOORS[made.role]]
    options = [text for each in floors for text in ("--floor", each)]
    paths = ["--data", str(made.data), "--run", str(made.run), "--models", str(models)]
    return publish.main([made.role, *paths, *options])


# --- the road ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["default", "heldout"])
def test_both_files_can_be_measured(made: Made, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    side = [] if split == "default" else ["--split", split]
    for file in (made.int8, made.real):
        assert evaluate.main([made.role, "--model", str(file), "--data", str(made.data), "--json", *side]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures.keys() >= TOP_LEVEL[made.role]
        assert figures["includes_training"] is (split == "default" and made.role in ("detector", "landmarks"))


def test_an_untrained_model_is_refused_and_models_stays_as_it_is(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [made.role, "--data", str(made.data), "--run", str(made.run), "--models", str(tmp_path / "models")]
    assert publish.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"error: {made.role}: int8 {FIRST_FLOOR[made.role]}: expected at" in lines[0]
    others = [line for line in lines if " int8 " not in line and " lost by int8: " not in line]
    assert others == []  # no gate but those of quality
    assert not (tmp_path / "models").exists()


def test_a_model_that_passes_runs_in_the_daemon(made: Made, tmp_path: Path) -> None:
    assert published(made, tmp_path) == 0
    Model(tmp_path, made.role, role=made.role)
    metrics = cards.read(tmp_path / f"{made.role}.json")["metrics"]
    assert metrics["int8"].keys() >= TOP_LEVEL[made.role]
    assert metrics["conditions"]["32 px" if made.role == "intensity" else "light 10%"]


def test_all_three_together(
    make: Callable[[Role], Made], sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [published(make(role), tmp_path) for role in TOGETHER] == [0, 0, 0]
    assert publish.main(["together", "--data", str(sets), "--models", str(tmp_path)]) == 0
    message, both = capsys.readouterr().out, ["--models", str(tmp_path), "--data", str(sets), "--json"]

    assert evaluate.main(["groups", *both]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert {name: each["pictures"] for name, each in groups["groups"].items()} == {
        "everybody": 4, "3 to 9": 1, "20 to 39": 2, "60 to 120": 1, "male": 1, "female": 3, "White": 3, "Asian": 1
    }  # fmt: skip
    assert evaluate.main(["end-to-end", *both, "--scenes", str(sets / "photos/scenes.zip")]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["faces"] == 24
    assert whole["sizes"].keys() == {"48 px", "96 px", "160 px"}

    known = {role: cards.read(tmp_path / f"{role}.json") for role in TOGETHER}
    assert known["detector"]["metrics"]["groups"] == known["landmarks"]["metrics"]["groups"] == groups
    assert known["expression"]["metrics"]["end_to_end"] == whole
    models = {role: card["sha256"] for role, card in known.items()}
    assert all(card["metrics"]["together_with"] == models for card in known.values())
    assert "24 faces; as ready crops" in message


# --- the files -----------------------------------------------------------------------------------------------


def test_the_int8_file_is_int8_throughout(made: Made) -> None:
    graph = Graph(made.int8.read_bytes())
    assert graph.types() <= set(INTEGERS)
    (picture,) = graph.inputs
    assert (graph.tensors[picture].scale, graph.tensors[picture].zero_point) == (1 / 128, 0)
    assert made.int8.stat().st_size < MOST_BYTES[made.role]


def test_the_card_is_the_files(made: Made) -> None:
    for path in (made.int8, made.real):
        card = cards.read(path.with_suffix(".json"))
        assert card["macs"] == Graph(path.read_bytes()).macs() <= MOST_MACS[made.role]
        assert card["training"]["command"].startswith(f"python -m quantize.train {made.role} --data data")
        assert card["metrics"] == {}
        daemon_stages.open_model(path, made.role)  # raises if shapes, types or sha256 disagree


def test_int8_agrees_with_float(made: Made) -> None:
    """On pictures of the set, within a twentieth of what the int8 output can hold."""
    real, int8 = (daemon_stages.open_model(path, made.role) for path in (made.real, made.int8))
    answers = [(real.infer(picture), int8.infer(picture)) for picture in inputs(made, *int8.size)]
    for index, card in enumerate(int8.card.outputs):
        off = np.stack([one[index] - other[index] for one, other in answers])
        # after two steps the detector's many layers in a row are still far from what int8 is good at
        share = 8 if made.role == "detector" else 20
        assert np.sqrt(np.mean(np.square(off))) < 255 * card.scale / share, card.name


def inputs(made: Made, width: int, height: int) -> list[Image]:
    """What the daemon would feed, from the made-up sets."""
    if made.role == "expression":
        return list(expression.read(made.data, split="test")[0].images[:8])
    if made.role == "detector":
        photos = detector.read(made.data, split="all")[0]
        return [transforms.letterbox(photo.image, width, height)[0] for photo in photos[:8]]
    if made.role == "intensity":
        faces, template = mesh_faces.read(made.data / "mesh" / "stills.npz"), made_template(made)
        pairs = zip(faces.crops[:8], faces.points[:8], strict=True)
        return [transforms.align(crop, points, template, width) for crop, points in pairs]
    stills = landmarks.read(made.data, split="all")[0][:8]
    return [transforms.warp(each.image, crop_around_points(each.points, 1.3, width), width) for each in stills]


def made_template(made: Made) -> Floats:
    template = daemon_stages.open_model(made.int8, made.role).card.template
    assert template is not None
    return template.points()


def test_the_report_points_at_a_layer(made: Made) -> None:
    report = json.loads((made.run / "int8_report.json").read_text())
    shares = [layer["share"] for layer in report["layers"]]
    assert sum(shares) == pytest.approx(1, abs=0.01)
    assert shares == sorted(shares, reverse=True)
    worst = report["layers"][0]
    assert report["verdict"].startswith(f"Layer {worst['index']} ({worst['kind']} {worst['name']}, ")
    names = {layer["name"] for layer in report["layers"]}
    assert names >= set(
        {
            "expression": ["logits"],
            "detector": ["score_8", "box_32"],
            "landmarks": ["points", "pose", "spread"],
            "intensity": ["intensities"],
        }[made.role]
    )


# --- what is special -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(256, 192), (320, 256), (192, 192), (160, 288)])
def test_the_detector_runs_at_any_multiple_of_32(make: Callable[[Role], Made], size: tuple[int, int]) -> None:
    made = make("detector")
    for path in (made.int8, made.real):
        model = daemon_stages.open_model(path, "detector")
        model.resize(width=size[0], height=size[1])
        outputs = model.infer(np.zeros(size[::-1], np.uint8))
        assert outputs[0].shape == (1, size[1] // 8, size[0] // 8, 1)
    frame = daemon_stages.frame_of(np.zeros((size[1] * 2, size[0] * 2), np.uint8))
    detector = daemon_stages.detector(daemon_stages.open_model(made.int8, "detector"))
    assert isinstance(detector, Detector)
    detector(frame)


def test_landmarks_are_placed_in_the_picture(make: Callable[[Role], Made]) -> None:
    model = daemon_stages.open_model(make("landmarks").int8, "landmarks")
    picture = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    matrix = np.array([[model.size[0] / 200, 0, 0], [0, model.size[0] / 200, 0]])
    placed = daemon_stages.landmarks(model, picture, matrix)
    assert placed.points.shape == (68, 2)
    assert 0 <= placed.score <= 1


def test_both_cards_have_the_fitted_temperature(make: Callable[[Role], Made]) -> None:
    made = make("expression")
    both = [cards.read(path.with_suffix(".json"))["temperature"] for path in (made.int8, made.real)]
    assert both[0] == both[1]
    assert 0.3 <= both[0] <= 3


def test_a_run_of_another_role_is_refused(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    other = next(role for role in ROLES if role != made.role)
    assert to_int8.main([other, "--data", str(made.data), "--run", str(made.run)]) == 1
    assert f"expected a run of role '{other}', got '{made.role}'" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"plan\.json: cannot be read: .*; expected a folder that quantize\.train wrote"
    ):
        read_plan(tmp_path, "expression")


def test_the_sample_spans_all_gray_levels() -> None:
    sample = np.full((2, 4, 4), 90, np.uint8)
    assert np.ptp(to_int8.from_black_to_white(sample)) == 255
    assert (sample == 90).all()


def test_a_layers_name_is_that_of_its_weights() -> None:
    joined = "net/re_lu_1/Relu;net/batch_normalization_1/batchnorm/add;net/conv2d_1/convolution"
    assert layer_report.short_name(joined) == "conv2d_1"
    assert layer_report.short_name("StatefulPartitionedCall:0") == "StatefulPartitionedCall:0"
