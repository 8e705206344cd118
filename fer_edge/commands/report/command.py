"""`fer-edge report` on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_edge.commands.camera_options import add_camera_argument, chosen_camera
from fer_edge.commands.report.periods import ReportOptions, report
from fer_edge.config import Config

EXAMPLES = """\
Examples:
  fer-edge report --since today
  fer-edge report --since 7d -o week.html
  fer-edge report --since 7d --compare previous -o weeks.html
  fer-edge report --since 2026-11-01 --until 2026-11-08 --csv -
  fer-edge report --since today --camera front
A time is so many minutes, hours, days or weeks ago (30m, 12h, 7d, 2w), today, yesterday or a weekday (where that day
began), or a local date, or date and time. Without -o and --csv a summary is shown.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which period, and where it goes."""
    parser.add_argument("--since", default="7d", metavar="TIME", help="where the period begins (default: %(default)s)")
    parser.add_argument("--until", metavar="TIME", help="where it ends (default: now)")
    parser.add_argument("--compare", metavar="TIME", help="beside an equally long period from TIME on, or 'previous'")
    parser.add_argument("-o", "--out", type=Path, metavar="OUT.html", help="write the page there")
    parser.add_argument("--csv", metavar="OUT", help="write minute by minute as CSV, - for standard output")
    parser.add_argument("--pictures", action="store_true", help="with the pictures at events of the period, small")
    add_camera_argument(parser)
    parser.add_argument("--file", type=Path, metavar="history.db", help="a history from elsewhere")


def run(config: Config, options: argparse.Namespace) -> int:
    """Write the page or the table, or show the summary."""
    names = ("since", "until", "compare", "out", "csv", "file", "pictures")
    own = config if options.file and options.camera is None else chosen_camera(config, options.camera)
    report(own, ReportOptions(**{name: getattr(options, name) for name in names}))
    return 0
