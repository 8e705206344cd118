"""Two runs into the same outputs: the second one says who holds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.analyze.claim import claimed
from fer_edge.config import Config
from fer_edge.errors import SinkError
from tests.support.paths import ROOT

HOLD = """
import sys
sys.path.insert(0, {root!r})
from fer_edge.commands.analyze.claim import claimed
with claimed({files!r}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_run_is_told_who_writes(tmp_path: Path) -> None:
    files = {"jsonl": str(tmp_path / "lines.jsonl"), "video": str(tmp_path / "film.mp4")}
    script = HOLD.format(root=str(ROOT), files=files)
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        options = AnalyzeOptions(sources=[str(tmp_path)], csv=str(tmp_path / "t.csv"), video=tmp_path / "film.mp4")
        message = rf"film\.mp4: fer-edge analyze, process {other.pid}, is writing it; wait until .* --video"
        with pytest.raises(SinkError, match=message):
            analyze(Config(), options)
        assert not (tmp_path / "t.csv.lock").exists()
        other.kill()
        other.wait()
    with claimed(files):  # what a killed run left holds nothing
        assert len(list(tmp_path.glob("*.lock"))) == 2
    assert list(tmp_path.iterdir()) == []


def test_stdout_devices_and_folders_that_are_missing_are_nobodys(tmp_path: Path) -> None:
    files = {"jsonl": "-", "csv": "/dev/null", "events": str(tmp_path / "nowhere" / "events")}
    with claimed(files), claimed(files):
        assert not Path("/dev/null.lock").exists()
