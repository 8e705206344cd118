"""Files and functions stay short (CONTRIBUTING.md); a long file gives its reason in its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 60
REASON = "one file, though long"
FOLDERS = ("fer_edge", "quantize", "benchmarks", "tests", "systemd", "scripts", "examples")


def sources(root: Path) -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text()


def too_long(text: str) -> bool:
    """Whether a file has too many lines and no reason for them."""
    if len(text.splitlines()) <= MOST_LINES:
        return False
    reason = " ".join((ast.get_docstring(ast.parse(text)) or "").lower().split())
    return REASON not in reason


def long_functions(text: str) -> list[str]:
    functions = (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return [each.name for each in functions if (each.end_lineno or 0) - each.lineno >= MOST_LINES_OF_A_FUNCTION]


def test_no_file_is_long_without_a_reason() -> None:
    assert [name for name, text in sources(ROOT) if too_long(text)] == []


def test_no_function_is_long() -> None:
    assert {name: found for name, text in sources(ROOT) if (found := long_functions(text))} == {}


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("x = 1\n" * MOST_LINES, False),
        ("x = 1\n" * (MOST_LINES + 1), True),
        ('"""One\nfile, though long: why."""\n' + "x = 1\n" * MOST_LINES, False),
    ],
)
def test_what_counts_as_long(text: str, refused: bool) -> None:
    assert too_long(text) is refused
    assert long_functions("def f():\n" + "    pass\n" * MOST_LINES_OF_A_FUNCTION) == ["f"]
    assert long_functions("def f():\n" + "    pass\n" * (MOST_LINES_OF_A_FUNCTION - 1)) == []
