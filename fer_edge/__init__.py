"""fer-edge: per-face expression events from a Raspberry Pi camera over MQTT.

`Analyzer` analyses pictures and films from Python; it is loaded on first use.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer_edge.analyzer import Analyzer

__all__ = ["Analyzer", "__version__"]
__version__ = "0.1.0"

# The most pixels a picture file may announce in its header before OpenCV makes room for them: 200 MB as colours. OpenCV
# reads this once, when it is imported, so it stands here. What the user has set stays in force.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(8192 * 8192))


def __getattr__(name: str) -> Any:
    """What is imported only where it is used (PEP 562)."""
    if name == "Analyzer":
        return import_module("fer_edge.analyzer").Analyzer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
