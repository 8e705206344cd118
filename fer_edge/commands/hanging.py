"""Lines whose text stays beside their head where a terminal is too narrow for them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_hanging(console: Console, head: Text, text: str) -> None:
    """Print a head and a text: on a terminal wrapped beside the head, else in one line, for other programs."""
    if not console.is_terminal:
        console.print(head, Text(text), soft_wrap=True)
        return
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(head, Text(text))
    console.print(line, soft_wrap=False)
