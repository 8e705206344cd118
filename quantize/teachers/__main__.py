"""Run `python -m quantize.teachers`."""

from __future__ import annotations

import sys

from quantize.teachers.command import main

if __name__ == "__main__":
    sys.exit(main())
