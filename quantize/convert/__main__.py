"""`python -m quantize.convert`."""

from __future__ import annotations

import sys

from quantize.convert.to_int8 import main

if __name__ == "__main__":
    sys.exit(main())
