"""`python -m quantize.evaluate`."""

import sys

from quantize.evaluate.command import main

if __name__ == "__main__":
    sys.exit(main())
