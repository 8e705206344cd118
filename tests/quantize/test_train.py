"""train.py on a tiny made-up set: it goes on where it was, whatever ended it. Skipped without Keras."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.testing.brokers import wait_for
from tests.support.made_up_sets import made_up_ferplus, write_npz
from tests.support.paths import ROOT

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

from quantize.data.sets import DataError
from quantize.tasks.task import open_task
from quantize.train import command

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # TensorFlow's own
    pytest.mark.timeout(900),  # machines that train have little to spare
]

PLAN = command.Plan(role="expression", epochs=2, seed=1, precision="float32", options={"widths": [8, 8, 8]})


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for one batch."""
    return write_npz(tmp_path_factory.mktemp("sets") / "ferplus.npz", made_up_ferplus(train=160, test=8))


def task(faces: Path) -> Any:
    return open_task(PLAN.role, faces, **PLAN.options)


def averages(run: Path) -> list[NDArray[Any]]:
    with np.load(run / "last.npz") as saved:
        return [saved[name] for name in saved.files if name.startswith("average_")]


def assert_same(one: Path, other: Path) -> None:
    for mine, yours in zip(averages(one), averages(other), strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-4, atol=1e-5)


def epochs(run: Path) -> int:
    """How many whole epochs are kept; 0 before the first."""
    if not (run / "last.npz").exists():
        return 0
    with np.load(run / "last.npz") as saved:
        return int(saved["epochs"])


def test_a_run_cut_short_goes_on_as_if_nothing_had_happened(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.fit(PLAN, task(faces), out=tmp_path / "straight")
    with monkeypatch.context() as patch:
        whole = command.save
        patch.setattr(command, "save", lambda *a, epochs: None if epochs == 2 else whole(*a, epochs=epochs))
        command.fit(PLAN, task(faces), out=tmp_path / "cut")
    command.fit(PLAN, task(faces), out=tmp_path / "cut")
    assert_same(tmp_path / "straight", tmp_path / "cut")


@pytest.mark.usefixtures("threads_as_they_are")
def test_a_killed_process_goes_on(faces: Path, tmp_path: Path) -> None:
    """kill -9 after the first whole epoch, then the same command again."""
    arguments = ["expression", "--data", str(faces), "--out", str(tmp_path)]
    arguments += ["--epochs", "8", "--widths", "8", "8", "8", "--threads", "1"]
    environment, quiet = os.environ | {"CUDA_VISIBLE_DEVICES": ""}, subprocess.DEVNULL
    begin = [sys.executable, "-m", "quantize.train", *arguments]
    with subprocess.Popen(begin, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet) as process:
        wait_for(lambda: epochs(tmp_path) or process.poll() is not None, "the first epoch", seconds=600)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 1 <= epochs(tmp_path) < 8

    assert command.main(arguments) == 0
    assert epochs(tmp_path) == 8
    numbers = [int(json.loads(line)["epoch"]) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert numbers[-1] == 8
    assert numbers == sorted(set(numbers))  # no epoch twice
    assert len(numbers) >= 7  # killed between an epoch's weights and its line, one line is missing


def test_a_run_does_not_go_on_under_another_plan(tmp_path: Path) -> None:
    command.claim(tmp_path, PLAN)
    command.claim(tmp_path, PLAN)
    with pytest.raises(DataError, match="choose another --out"):
        command.claim(tmp_path, command.Plan("expression", 9, 1, "float32", {}))


def test_a_damaged_run_is_one_line(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"role": "expr')
    with pytest.raises(DataError, match=r"plan\.json: cannot be read"):
        command.claim(tmp_path, PLAN)
    own = task(faces)
    model = command.trainee(own.network(), own)
    average = command.Average(model.get_weights())
    for content in (b"", b"PK\x03\x04 cut off", b"hello"):
        (tmp_path / "last.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"last\.npz: not the state of this run"):
            command.restore(tmp_path / "last.npz", model, average)
    assert command.restore(tmp_path / "none.npz", model, average) == 0


@pytest.mark.usefixtures("threads_as_they_are")
def test_a_run_that_is_none_leaves_the_folder_to_another_plan(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    (teacher / "last.npz").touch()
    given = ["expression", "--data", str(faces), "--out", str(tmp_path / "run"), "--teachers", str(teacher)]
    assert command.main(given) == 1
    assert f"error: {teacher / 'plan.json'}: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_option_that_a_task_does_not_have_is_one_line(faces: Path) -> None:
    with pytest.raises(DataError, match="expression: expected options that its task has, got depth"):
        open_task("expression", faces, depth=3)


def test_faces_are_cut_by_our_landmarks_from_any_folder(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(task(faces).pools) == 1


def test_ferplus_is_found_in_a_folder_of_sets(faces: Path) -> None:
    assert len(task(faces.parent).examples.images) == len(task(faces).examples.images)


@pytest.fixture
def threads_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow takes a number of threads once in a process."""
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda _: None)
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", lambda _: None)


@pytest.mark.usefixtures("threads_as_they_are")
def test_a_stage_without_channels_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["expression", "--data", str(tmp_path), "--out", str(tmp_path), "--widths", "8", "0", "8"]
    assert command.main(given) == 1
    assert capsys.readouterr().err == "error: --widths: expected more than 0\n"


@pytest.mark.usefixtures("threads_as_they_are")
@pytest.mark.parametrize("option", ["--seed", "--threads"])
def test_a_number_below_zero_is_one_line(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["expression", "--data", str(tmp_path), "--out", str(tmp_path), option, "-1"]) == 1
    assert capsys.readouterr().err == "error: --seed, --threads: expected 0 or more\n"


@pytest.mark.usefixtures("threads_as_they_are")
def test_a_missing_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(tmp_path / "absent.npz")
    assert command.main(["expression", "--data", absent, "--out", str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert output.startswith(f"error: {absent}: no such file or folder")
    assert output.count("\n") == 1


def test_the_rate_rises_and_falls() -> None:
    rates = [command.rate_at(step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0)
    assert rates[10] == pytest.approx(1)
    assert rates[100] == pytest.approx(0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_average_forgets_the_start() -> None:
    average = command.Average([np.zeros(1, np.float32)])
    for step in range(100):
        average.update([np.ones(1, np.float32)], step=step)
    assert average.weights[0] > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detector", "--teachers", "x"], "--teachers: not for role 'detector'"),
        (["expression", "--final"], "--final: not for role 'expression'"),
        (["expression", "--teachers", "absent"], "absent: expected the folder of a run, with last.npz"),
        (["expression", "--start", "absent"], "absent: expected the folder of a run, with last.npz"),
        (["detector", "--start", "absent.tflite"], "--start absent.tflite: no such file"),
        (["expression", "--taught", "absent"], "--taught absent: no such file"),
        (["detector", "--yunet", "absent"], "--yunet absent: no such file"),
        (
            ["landmarks", "--landmarks", "x"],
            "--landmarks: expected --detector too: it is asked about that one's mistakes",
        ),
        (["expression", "--rate", "0"], "expected more than 0"),
        (["expression", "--epochs", "0"], "expected more than 0"),
    ],
)
@pytest.mark.usefixtures("threads_as_they_are")
def test_what_cannot_be_a_run_is_refused_before_it_begins(
    arguments: list[str], message: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*arguments, "--data", str(faces), "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.strip().endswith(message)
    assert not (tmp_path / "run").exists()
