"""fer-edge: per-face expression events from a Raspberry Pi camera over MQTT."""

from __future__ import annotations

import os

__version__ = "0.1.0"

# The most pixels a picture file may announce in its header before OpenCV makes room for them: 200 MB as colours. OpenCV
# reads this once, when it is imported, so it stands here. What the user has set stays in force.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(8192 * 8192))
