"""The command lines of quantize/ on a machine without Keras and TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """\
import runpy, sys
sys.modules.update(dict.fromkeys(("keras", "matplotlib", "tensorflow", "tqdm")))
runpy.run_module(sys.argv.pop(1), {}, "__main__")
"""


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, f"quantize.{name}", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["train", "convert", "data.label_photos"])
def test_what_needs_them_says_so_in_one_line(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"quantize.{name}: ")
    assert line.endswith("run: pip install 'fer-edge[quantize]'")


@pytest.mark.parametrize("name", ["evaluate", "publish", "evaluate.geometry", "publish.model_cards_page", "cost"])
def test_the_others_do_without(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_a_former_name_warns_and_runs() -> None:
    done = run("to_int8")
    warning, refusal = done.stderr.splitlines()
    assert warning.startswith("quantize.to_int8 is now called quantize.convert")
    assert refusal.startswith("quantize.convert: ")
    assert done.returncode == 1
