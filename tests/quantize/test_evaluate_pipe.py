"""evaluate.py as a command whose output somebody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.made_up_sets import made_up_ferplus, write_npz
from tests.support.paths import ROOT

MODELS = ROOT / "models"


def test_a_reader_that_has_had_enough_is_no_traceback(tmp_path: Path) -> None:
    model = str(MODELS / "expression.tflite")
    command = [sys.executable, "-m", "quantize.evaluate", "expression", "--json", "--model", model]
    data = write_npz(tmp_path / "ferplus.npz", made_up_ferplus(train=4, test=4))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*command, "--data", str(data)], stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(writing)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
