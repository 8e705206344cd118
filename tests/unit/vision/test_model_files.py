"""Model files that are missing, damaged or not what their card says."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_edge.vision.model_card import read_card
from fer_edge.vision.tflite import read_model
from tests.support.changed_models import edit, load
from tests.support.paths import DATA


def test_a_missing_model_or_card(folder: Path) -> None:
    (folder / "expression.tflite").unlink()
    with pytest.raises(
        ModelError,
        match=r"expression.tflite: cannot read the model: .*; restore it.*card of .expression., which names it",
    ):
        load(folder)
    (folder / "expression.json").unlink()
    with pytest.raises(ModelError, match=r"expression.json: cannot read the model card.*cards in this folder: none"):
        load(folder)


def test_a_truncated_model(folder: Path) -> None:
    path = folder / "expression.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"expected \d+ bytes with sha256 .*, got 1000 bytes; the file is damaged"):
        load(folder)


def test_a_model_that_is_none_though_the_sha256_fits(folder: Path) -> None:
    (folder / "expression.tflite").write_bytes(b"nonsense")
    edit(folder, sha256=hashlib.sha256(b"nonsense").hexdigest(), bytes=8)
    with pytest.raises(ModelError, match=r"expression.tflite: the TFLite runtime rejected this model"):
        load(folder)


MUTATIONS = 40  # each in a process of its own


def test_a_damaged_model_is_refused_in_one_line(folder: Path) -> None:
    """Even where its card was made to fit: the runtime's native code trusts the file, so a model that is not the
    package's own is tried in a process of its own first."""
    outcomes: dict[int, str] = {}
    while (first := max(outcomes, default=-1) + 1) < MUTATIONS:
        command = [
            sys.executable,
            "-m",
            "tests.support.mutated_models",
            str(folder),
            str(first),
            str(MUTATIONS - first),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DATA.parents[1])
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        outcomes |= {int(seed): outcome or "ended the process" for seed, _, outcome in lines}
        assert done.returncode <= 0, done.stderr  # below: by a signal
        assert lines, done.stderr
    wrong = {
        seed: outcome for seed, outcome in outcomes.items() if outcome not in ("runs", "refused", "ended the process")
    }
    assert not wrong
    assert sum(outcome == "refused" for outcome in outcomes.values()) > MUTATIONS / 3
    assert "ended the process" not in outcomes.values()


@pytest.mark.parametrize("name", ["../expression.tflite", "/etc/passwd", "", "..", "a\nb"])
def test_a_card_names_a_file_beside_it(folder: Path, name: str) -> None:
    edit(folder, file=name)
    with pytest.raises(ModelError, match="file expected to be the name of a file beside the card") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_no_more_is_read_than_the_card_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "expression.tflite").open("r+b") as file:
        file.truncate(10**10)  # a sparse file
    card = read_card(folder, "expression")
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    with pytest.raises(ModelError, match="got 10000000000 bytes"):
        read_model(folder, card)


def test_a_card_that_is_too_large_is_not_read(folder: Path) -> None:
    with (folder / "expression.json").open("r+b") as file:
        file.truncate(10**10)
    with pytest.raises(ModelError, match="10000000000 bytes, expected at most 1000000"):
        read_card(folder, "expression")


def test_a_pipe_in_the_place_of_a_model_is_not_waited_for(folder: Path) -> None:
    (folder / "expression.tflite").unlink()
    os.mkfifo(folder / "expression.tflite")
    with pytest.raises(ModelError, match="the file is damaged or belongs to another card"):
        load(folder)
