"""`python -m quantize.evaluate`."""

from __future__ import annotations

import sys

from quantize.evaluate.command import main

if __name__ == "__main__":
    sys.exit(main())
