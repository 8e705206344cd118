"""What is sent to each viewer next. Everything here belongs to the loop's thread, except what others
read.

Of pictures, faces, health and settings a viewer gets the newest, when it is ready for it; of events each one. A picture
is sent only to a page that has asked for it: so a slow one sees fewer of them, each fresh, and a hidden one costs none.
"""

from __future__ import annotations

import asyncio
from collections import deque

MOST_WANTED = 2  # pictures under way to a page: one travels while the other is shown
BEHIND = 500  # messages that must not be skipped; a page that is further behind starts again


class TooSlow(Exception):
    """A viewer takes events more slowly than they come."""


class Viewer:
    """One open page."""

    def __init__(self) -> None:
        self.wanted = 0  # pictures that it has room for
        self._said: deque[str] = deque()
        self._newest: dict[str, str] = {}  # by kind
        self._picture: bytes | None = None
        self._news = asyncio.Event()

    def say(self, text: str) -> None:
        """Send this, in order. To a page that is too far behind, nothing is sent any more: `next` ends it."""
        if len(self._said) <= BEHIND:  # it may ask for more answers than it reads
            self._said.append(text)
        self._news.set()

    def show(self, kind: str, text: str) -> None:
        """Send this instead of what waits of the same kind."""
        self._newest[kind] = text
        self._news.set()

    def picture(self, jpeg: bytes) -> None:
        """Send this picture instead of one that waits, if the page has room for it."""
        if self.wanted:
            self._picture = jpeg
            self._news.set()

    async def next(self) -> str | bytes:
        """What to send now. Raises TooSlow."""
        while True:
            if len(self._said) > BEHIND:
                raise TooSlow
            if self._said:
                return self._said.popleft()
            if self._newest:
                return self._newest.pop(next(iter(self._newest)))
            if self._picture is not None:
                self.wanted -= 1
                jpeg, self._picture = self._picture, None
                return jpeg
            self._news.clear()
            await self._news.wait()


class Live:
    """All open pages."""

    def __init__(self, max_viewers: int) -> None:
        self._max = max_viewers
        self._viewers: set[Viewer] = set()
        self.watched = False  # whether there are viewers
        self.frame_requested = False  # whether any page has requested a picture

    def __len__(self) -> int:
        return len(self._viewers)

    def enter(self) -> Viewer | None:
        """Another page; None: there are too many."""
        if len(self._viewers) >= self._max:
            return None
        viewer = Viewer()
        self._viewers.add(viewer)
        self.watched = True
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A page is closed."""
        self._viewers.discard(viewer)
        self.watched = bool(self._viewers)
        self._look()

    def want(self, viewer: Viewer) -> None:
        """A page requests one more picture."""
        viewer.wanted = min(viewer.wanted + 1, MOST_WANTED)
        self._look()

    def say(self, text: str) -> None:
        """To all, in order."""
        for viewer in self._viewers:
            viewer.say(text)

    def show(self, kind: str, text: str) -> None:
        """To all, the newest of its kind."""
        for viewer in self._viewers:
            viewer.show(kind, text)

    def frame(self, faces: str, jpeg: bytes | None) -> None:
        """To all: who is in a frame, and its picture where it was drawn."""
        self.show("faces", faces)
        if jpeg is not None:
            for viewer in self._viewers:
                viewer.picture(jpeg)

    async def next(self, viewer: Viewer) -> str | bytes:
        """What to send to a viewer now. Raises TooSlow."""
        item = await viewer.next()
        self._look()
        return item

    def _look(self) -> None:
        self.frame_requested = any(viewer.wanted for viewer in self._viewers)
