"""A step must not cost more than it did: counted in instructions, which no other load can touch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import arm64_instructions
import instructions

DUMP = """\
events: Ir
ob=(1) /usr/lib/python3/libpython3.11.so
fn=(1) eval
12 100
+1 5
cob=(2) /site-packages/cv2/cv2.abi3.so
cfn=(2) resize
calls=3 0
+2 4000
ob=(2)
fn=(2)
7 600
* 60
ob=(1)
fn=(3) other
0 1
totals: 766
"""


@pytest.mark.timeout(300)
def test_a_step_takes_no_more_instructions_than_it_did() -> None:
    if why := instructions.unable() or instructions.stranger():
        pytest.skip(why)
    grown = instructions.grown(instructions.measure())
    assert not grown, f"{'; '.join(grown)}. If that is meant: python benchmarks/instructions.py --write"


def test_costs_are_of_the_library_that_they_arise_in() -> None:
    assert sum(cost for _, cost in instructions.costs(DUMP)) == 766
    found = instructions.counts(DUMP)
    assert found == {"networks": 0, "OpenCV": round(660 / 15), "NumPy": 0, "Python": round(106 / 15)}


def test_growth_is_told_beyond_the_tolerance_and_only_of_what_can_be_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    baseline = json.loads(instructions.BASELINE.read_text())
    made = tmp_path / "made.json"
    monkeypatch.setattr(instructions, "BASELINE", made)

    def reported(of_networks: float, around: float, **other: str) -> list[str]:
        made.write_text(json.dumps(baseline | {"made_with": instructions.surroundings() | other}))
        more = {"networks": of_networks, "OpenCV": around, "NumPy": around, "Python": around}
        each = baseline["instructions"].items()
        now = {faces: {part: count * more[part] for part, count in parts.items()} for faces, parts in each}
        return [line.split(":")[0] for line in instructions.grown(now)]

    assert reported(1.04, 1.04) == reported(0.5, 0.5) == []
    assert reported(1.08, 1.0) == [f"{faces} faces, all" for faces in (0, 1, 3)]
    assert reported(1.0, 1.2) == [f"{faces} faces, around the networks" for faces in (0, 1, 3)]
    assert reported(3.0, 1.0, **{"model detector": "another"}) == []
    assert reported(1.0, 1.2, Python="3.99") == []


def test_the_baseline_is_of_every_scene() -> None:
    made = json.loads(instructions.BASELINE.read_text())
    assert list(made["instructions"]) == [str(faces) for faces in instructions.SCENES]
    assert set(made["made_with"]) == set(instructions.surroundings())


def test_the_page_says_what_the_baseline_says() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    _, _, *rows = instructions.table(json.loads(instructions.BASELINE.read_text())["instructions"])
    assert all(row in page for row in rows), f"expected in docs/performance.md: {rows}"


MARKS = """\
what the program says
count 1000 /roots/bookworm/usr/bin/python3.11
count 300 /wheels/cv2/cv2.abi3.so
mark
count 1150 /roots/bookworm/usr/bin/python3.11
count 450 /wheels/cv2/cv2.abi3.so
count 3000 /wheels/ai_edge_litert/libpywrap_litert_common.so
mark
"""


def test_arm64_counts_are_those_between_two_marks_by_part() -> None:
    counts = arm64_instructions.counted(MARKS * len(instructions.SCENES))
    expected = {"networks": 200, "OpenCV": 10, "NumPy": 0, "Python": 10}  # of each of 15 steps
    assert counts == {str(faces): expected for faces in instructions.SCENES}


def test_the_counting_plugin_has_what_qemu_asks_for(tmp_path: Path) -> None:
    if not (shutil.which("gcc") and shutil.which("nm")):
        pytest.skip("gcc is not installed")
    plugin = tmp_path / "count.so"
    subprocess.run(["gcc", *arm64_instructions.FLAGS, "-o", str(plugin), str(arm64_instructions.PLUGIN)], check=True)
    listed = ["nm", "--dynamic", "--defined-only", "--format=posix", str(plugin)]
    symbols = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    assert {line.split()[0] for line in symbols.splitlines()} == {"qemu_plugin_install", "qemu_plugin_version"}
