"""hanging.py: wrapped beside its head on a terminal, in one line elsewhere."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from fer_edge.commands.hanging import print_hanging

WORDS = "camera.backend 'picamera2' needs [picamera2], which Raspberry Pi OS has; or set camera.backend to v4l2"


def printed(*, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=50, force_terminal=terminal, color_system=None, highlight=False)
    print_hanging(console, Text("FAIL camera     "), WORDS)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_shows_all_of_it_beside_the_head() -> None:
    first, *others = printed(terminal=True)
    assert first.startswith("FAIL camera      camera.backend")
    assert len(others) >= 2
    assert all(line.startswith(" " * 17) and line[17] != " " and len(line) <= 50 for line in others)
    assert " ".join(line[17:] for line in (first, *others)) == WORDS


def test_other_programs_get_one_line() -> None:
    assert printed(terminal=False) == [f"FAIL camera      {WORDS}"]
