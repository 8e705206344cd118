"""Whether a day is reported as it was: `python -m benchmarks.day [--pixels]`; tests/support/day.py explains how."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.support.day import WITHIN, measure


def main() -> int:
    """Print the table; 1 where a figure is further off."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day", description="Hold a day against its report.")
    parser.add_argument("--pixels", action="store_true", help="one visitor an hour is seen by the networks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), pixels=options.pixels)
    for name, planned, got in found:
        print(f"{name:<28} planned {planned:10.1f}   reported {got:10.1f}   {got / planned - 1:+7.2%}")
    return int(any(abs(got / planned - 1) > WITHIN for _, planned, got in found))


if __name__ == "__main__":
    sys.exit(main())
