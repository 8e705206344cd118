"""Keys come from a terminal only, one by one, and the terminal is afterwards as it was."""

from __future__ import annotations

import os
import pty
import sys
import termios
from pathlib import Path

import pytest

from fer_edge.commands.watch.keys import Keys
from fer_edge.testing.brokers import wait_for


def test_keys_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    outside, inside = pty.openpty()
    with os.fdopen(inside, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(terminal)
        with Keys() as keys:
            assert keys.there
            assert keys.pressed() == ""
            os.write(outside, b"fy" + b"\xff")
            typed: list[str] = []

            def all_typed() -> bool:
                typed.append(keys.pressed())
                return "".join(typed) == "fy\ufffd"

            wait_for(all_typed, "each key without Enter")
        assert termios.tcgetattr(terminal) == before
    os.close(outside)


@pytest.mark.parametrize("there", [True, False], ids=["a file", "closed"])
def test_no_keys_where_there_is_no_terminal(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_text("fy")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file if there else None)
        with Keys() as keys:
            assert not keys.there
            assert keys.pressed() == ""
