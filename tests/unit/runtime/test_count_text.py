"""count_text.py: "1 face", and no program's code that says "1 faces"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fer_edge
from fer_edge.runtime.count_text import bytes_text, counted, of_all

PACKAGE = Path(fer_edge.__file__).parent
THINGS = (
    r"alert|byte|camera|change|day|device|entry|event|face|failure|file|film|folder|frame|hour|key|line|message|minute|"
    r"packet|picture|point|row|sample|second|source|stay|thread|topic|visitor|zone"
)
PLURAL = re.compile(rf"^ (?:\w+ )?(?:{THINGS})s\b(?!/)|^ (?:entries|people)\b")
ALWAYS_MANY = {"words", "step_s"}
"""What is no number, and what is told otherwise where it is one; nor are constants and fractions one."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (counted(0, "face"), "0 faces"),
        (counted(0, "face", none="no"), "no faces"),
        (counted(1, "face", none="no"), "1 face"),
        (counted(2, "face"), "2 faces"),
        (counted(1, "event waits", "events wait"), "1 event waits"),
        (counted(2, "event waits", "events wait"), "2 events wait"),
        (counted(1.0, "hour"), "1 hour"),
        (counted(0.5, "hour"), "0.5 hours"),
        (counted(1234, "face"), "1234 faces"),
        (counted(20_000, "face"), "20,000 faces"),
        (counted(1_234_567.0, "hour"), "1,234,567 hours"),
        (of_all(12_345, 1_234_567, "picture"), "12,345 of 1,234,567 pictures"),
        (bytes_text(1), "1 byte"),
        (bytes_text(623_640), "623640 bytes"),
        (of_all(1, 1, "picture"), "1 of 1 picture"),
        (of_all(1, 3, "picture"), "1 of 3 pictures"),
    ],
)
def test_numbers_of_things(text: str, expected: str) -> None:
    assert text == expected


def plurals(path: Path) -> Iterator[str]:
    """Where a number of any size stands before a plural, in an f-string or a message for the log."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            for number, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    shown = ast.unparse(number.value)
                    many = shown.isupper() or shown in ALWAYS_MANY or number.format_spec is not None
                    if PLURAL.match(str(text.value)) and not many:
                        yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {{{shown}}}{text.value!r}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in re.finditer(r"%[dg]( \w+ ?\w*)", node.value):
                if PLURAL.match(found[1]):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {found[0]}"


def test_no_message_says_1_faces() -> None:
    found = [each for path in PACKAGE.rglob("*.py") if "testing" not in path.parts for each in plurals(path)]
    assert not found, "\n".join(found)
