"""`python -m quantize.cost`."""

from __future__ import annotations

import sys

from quantize.cost.command import main

if __name__ == "__main__":
    sys.exit(main())
