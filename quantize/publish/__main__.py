"""`python -m quantize.publish`."""

from __future__ import annotations

import sys

from quantize.publish.command import main

if __name__ == "__main__":
    sys.exit(main())
