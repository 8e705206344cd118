"""`python -m quantize.train`."""

import sys

from quantize.train.command import main

if __name__ == "__main__":
    sys.exit(main())
