"""`python -m quantize.train`."""

from __future__ import annotations

import sys

from quantize.train.command import main

if __name__ == "__main__":
    sys.exit(main())
