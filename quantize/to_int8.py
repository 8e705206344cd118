"""The former name of `python -m quantize.convert`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    print("quantize.to_int8 is now called quantize.convert; the old name goes with version 1.0", file=sys.stderr)
    from quantize.convert.to_int8 import main

    sys.exit(main())
