"""Offline devices are forgotten from the screen: asked for by a key, confirmed by another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread

from fer_edge.errors import FerEdgeError
from fer_edge.runtime.count_text import counted

HINT = "f forgets an offline device"


class Forgetting:
    """What is asked, and what came of it. The work is done by a thread: a broker may take its time."""

    def __init__(self, forget: Callable[[str], int]) -> None:
        """`forget` removes all that the broker keeps of a device; it returns the number of topics."""
        self._forget = forget
        self._asked: str | None = None
        self._busy = ""
        self._answer = ""

    def line(self, offline: Sequence[str]) -> str:
        """What to say at the bottom; `offline`: the devices that can be forgotten."""
        if self._busy:
            return f"forgetting {self._busy} ..."
        if self._asked in offline:
            return f"Forget {self._asked} for good? y yes, f next, n no"
        return self._answer or (HINT if offline else "")

    def press(self, key: str, offline: Sequence[str]) -> None:
        """Take a key."""
        if self._busy:
            return
        asked, self._answer = self._asked if self._asked in offline else None, ""
        if key == "f" and offline:
            after = offline.index(asked) + 1 if asked else 0
            self._asked = offline[after % len(offline)]
        else:
            self._asked = None
            if key == "y" and asked:
                self._busy = asked
                Thread(target=self._run, args=(asked,), name="forget", daemon=True).start()

    def _run(self, device: str) -> None:
        """The thread."""
        try:
            self._answer = f"{device} is forgotten: {counted(self._forget(device), 'topic')} removed"
        except FerEdgeError as error:
            self._answer = f"{device} is not forgotten: {error}"
        finally:
            self._busy = ""
