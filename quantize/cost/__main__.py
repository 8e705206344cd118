"""`python -m quantize.cost`."""

import sys

from quantize.cost.command import main

if __name__ == "__main__":
    sys.exit(main())
