"""Damages stored files at random, and says whether the daemon starts with them and what is sound arrives.

python -m benchmarks.damage --count 10000
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from tests.support.damage import KINDS, attack


def main() -> None:
    """Print a line per kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="damaged files a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="/dev/shm", help="where the files are made")
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    logging.disable()  # each damage is a line
    for kind in options.kinds:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            failures = attack(kind, Path(folder, "files"), count=options.count, seed=options.seed)
        seconds = time.monotonic() - begun
        print(f"{kind}: {options.count} damaged files, {len(failures)} failures, {seconds:.0f} s", flush=True)
        for failure in failures[:10]:
            print(f"  {failure[:300]}")


if __name__ == "__main__":
    main()
