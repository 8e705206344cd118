"""`python -m quantize.publish`."""

import sys

from quantize.publish.command import main

if __name__ == "__main__":
    sys.exit(main())
