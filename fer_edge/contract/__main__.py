"""`python -m fer_edge.contract` prints docs/mqtt-payloads.md, with `--schema` docs/mqtt.schema.json."""

from __future__ import annotations

import sys

from fer_edge.contract.topics import main

if __name__ == "__main__":
    sys.exit(main())
