"""`python -m quantize.convert`."""

import sys

from quantize.convert.to_int8 import main

if __name__ == "__main__":
    sys.exit(main())
