"""How often something may be done."""

from __future__ import annotations

import time
from threading import Lock


class RateLimit:
    """Lets `burst` pass at once, and one more every `every_seconds`. For any thread."""

    def __init__(self, *, burst: int, every_seconds: float) -> None:
        self._burst, self._every = burst, every_seconds
        self._left, self._seen = float(burst), time.monotonic()
        self._lock = Lock()

    def allows(self) -> bool:
        """Whether one more may pass now; if so, it has."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._seen) / self._every)
            self._seen = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
