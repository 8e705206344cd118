"""Tests use what is public: an attribute with a leading underscore may be renamed by whoever mends its module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

MOST = 20
"""A new use needs an old one to go: add a public way, or look from outside (a topic, a log line, a thread's name)."""
PUBLIC = {"_replace", "_asdict", "_fields", "_make"}  # of named tuples


def private_uses(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each attribute that is private to another module."""
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)} | PUBLIC
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    mine = [each for each in attributes if isinstance(each.value, ast.Name) and each.value.id in ("self", "cls")]
    own |= {each.attr for each in mine}
    for each in attributes:
        if each.attr.startswith("_") and not each.attr.startswith("__") and each.attr not in own:
            yield each.lineno, each.attr


def test_private_attributes_are_left_alone_but_for_a_few() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in private_uses(path)
    ]
    assert len(found) <= MOST, "\n".join(found)


def test_each_says_why() -> None:
    """In a comment on its line, or just above."""
    silent = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        lines = path.read_text().splitlines()
        for number, name in private_uses(path):
            above = lines[number - 2].strip() if number > 1 else ""
            if "  # " not in lines[number - 1] and not above.startswith(("#", '"""')):
                silent.append(f"{path.relative_to(ROOT)}:{number} {name}")
    assert not silent, "\n".join(silent)
