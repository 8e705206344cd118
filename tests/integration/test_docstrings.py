"""A public function that takes or returns arrays states their shapes (`u8[H,W]`, `f32[N,8]`), and one that raises an
error of this project states that. `_private` names and the fakes of `fer_edge/testing/` are left out; `See NAME` stands
for the docstring of the method that is implemented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ARRAYS = re.compile(r"\b(Image|Floats|NDArray|ndarray|Matrix|Real|Held|Labels|Bools|Doubles|Array|Predict|Find)\b")
SHAPE = re.compile(r"\b(u8|i8|i|f32|f64|f|bool|str)?\[[\w.*/]+(,[\w.]+)*\]")
ERRORS = {"DataError", "ModelError", "CameraError", "CameraTimeout", "SinkError"} | {
    *("ConfigError", "ReportError", "ArgumentError", "AlreadyRunning", "Interrupted", "GateError")
}
STATES_IT = re.compile(r"Error|Raises|refuse|Interrupted|AlreadyRunning|CameraTimeout")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def gaps(text: str) -> Iterator[tuple[str, str]]:
    """Name of each public function, and what its docstring and the comments of its head leave out."""
    lines = text.splitlines()
    for node, known in _functions(ast.parse(text), ""):
        head = "\n".join(lines[max(0, node.lineno - 2) : node.body[0].lineno - 1])
        stated = " ".join(
            [ast.get_docstring(node) or "", *re.findall(r"#.*", head), *([known] * node.name.startswith("__"))]
        )
        if not stated.startswith("See `"):
            yield from _left_out(node, stated)


def _functions(parent: ast.Module | ast.ClassDef, known: str) -> Iterator[tuple[Function, str]]:
    for node in parent.body:
        if isinstance(node, Function) and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            yield node, known
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _functions(node, ast.get_docstring(node) or "")


def _left_out(node: Function, stated: str) -> Iterator[tuple[str, str]]:
    types = [each.annotation for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if any(each and ARRAYS.search(ast.unparse(each)) for each in (*types, node.returns)) and not SHAPE.search(stated):
        yield node.name, "shape"
    raised = {
        ast.unparse(each.exc).split("(")[0] for each in ast.walk(node) if isinstance(each, ast.Raise) and each.exc
    }
    if raised & ERRORS and not STATES_IT.search(stated):
        yield node.name, "error"


def sources() -> list[Path]:
    paths = [path for folder in ("fer_edge", "quantize") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if "testing" not in path.parts]


def test_docstrings_state_shapes_and_errors() -> None:
    found = {path.relative_to(ROOT).as_posix(): [*gaps(path.read_text())] for path in sources()}
    assert {path: left_out for path, left_out in found.items() if left_out} == {}


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ('def f(image: Image) -> int:\n    """Count."""\n', [("f", "shape")]),
        ('def f(image: Image) -> int:\n    """Count the faces of u8[H,W]."""\n', []),
        ('def f(\n    image: Image,  # u8[H,W]\n) -> int:\n    """Count."""\n', []),
        ('def f() -> list[Floats]:\n    """Scores f32[N] of `values[0]`."""\n', []),
        ('def f() -> list[Floats]:\n    """Scores."""\n', [("f", "shape")]),
        ('def f() -> int:\n    """Count."""\n    raise DataError("x")\n', [("f", "error")]),
        ('def f() -> int:\n    """Count. Raises DataError."""\n    raise DataError("x")\n', []),
        ('def _f(image: Image) -> int:\n    """Count."""\n', []),
        ('class A:\n    """Of u8[H,W]."""\n    def __init__(self, image: Image) -> None: ...\n', []),
        ("class A:\n    def f(self, image: Image) -> None: ...\n", [("f", "shape")]),
        ('class A:\n    def f(self, image: Image) -> None:\n        """See `B.f`."""\n', []),
    ],
)
def test_what_a_docstring_must_state(text: str, left_out: list[tuple[str, str]]) -> None:
    assert [*gaps(text)] == left_out
