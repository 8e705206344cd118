"""A report in short, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.commands.report.differences import Verdicts, differences
from fer_edge.commands.report.page import figure_rows
from fer_edge.commands.report.summary import ReportData
from fer_edge.commands.report.wording import busiest_text, stays_text


def show(stories: Sequence[ReportData]) -> None:
    """Print the figures of a period; a second story is what it is compared with."""
    console, story = Console(highlight=False, soft_wrap=True), stories[0]
    console.print(f"[bold]{escape(story.title)}[/]")
    console.print(_table(["", *(each.name if len(stories) > 1 else "" for each in stories)], figure_rows(stories)))
    for line in (busiest_text(story), stays_text(story), *story.notes):
        if line:
            console.print(escape(line))
    if len(stories) > 1:
        verdicts = Verdicts(*stories)
        console.print(_table(["", "difference", "is it chance?"], differences(stories, verdicts)))
        console.print(verdicts.how)
    console.print("With -o report.html all of it is written as a page.")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*heads, box=box.SIMPLE_HEAD if any(heads) else None, show_header=any(heads))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(escape, row))
    return table
