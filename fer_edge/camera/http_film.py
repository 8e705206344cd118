"""What an HTTP address sends that FFmpeg would ask for again: a film of a known length and a playlist, over the
connection that showed what it is. In a film whose index is at its end FFmpeg jumps: then another connection is made,
for the rest from there on, after the first one was closed.
"""

from __future__ import annotations

import http.client
import io
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import av

from fer_edge.runtime.count_text import bytes_text

FAILURES = (OSError, http.client.HTTPException, ValueError, EOFError, zlib.error)
SKIPPED_BYTES = 1 << 18
"""So much is read and thrown away before another connection is made."""


class HttpFilm:
    """A film as a file for PyAV."""

    kind: Literal["film"] = "film"

    def __init__(self, response: Any, head: bytes, length: int, again: Callable[[int], Any] | None) -> None:
        """`head`: what was read of the response. `again` asks for the rest from a place on; None: the server sends no
        parts."""
        self._response, self._head, self._length, self._again = response, head, length, again
        self._at = self._received = 0  # where it is read, and where the response is

    def progressed(self) -> None:
        """A packet is complete; a film may be of any length."""

    def seekable(self) -> bool:
        """Whether parts of it can be had."""
        return self._again is not None

    def tell(self) -> int:
        """See io.IOBase.tell."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See io.IOBase.seek. Nothing is asked for before it is read."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises av.error.TimeoutError, and av.error.OSError where the connection
        ends before the film does."""
        if self._at >= self._length:
            return b""
        try:
            self._reach()
            data = self._next(size)
        except TimeoutError:
            raise av.error.TimeoutError(110, "nothing came in time") from None
        except FAILURES as error:
            raise broken_off(self._received, self._length) from error
        if not data:
            raise broken_off(self._received, self._length)
        self._at = self._received
        return data

    def close(self) -> None:
        """Release the connection."""
        with suppress(*FAILURES):
            self._response.close()

    def _reach(self) -> None:
        """Bring the response to where it is read."""
        if self._again and not 0 <= self._at - self._received <= SKIPPED_BYTES:
            self.close()  # a camera may have one connection to give
            self._response, self._head, self._received = self._again(self._at), b"", self._at
        while self._received < self._at and self._next(self._at - self._received):
            pass

    def _next(self, size: int) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        data = data or bytes(self._response.read1(size))
        self._received += len(data)
        return data


class Playlist(io.BytesIO):
    """A playlist that was read whole, under the address that its entries are relative to."""

    kind: Literal["playlist"] = "playlist"

    def __init__(self, content: bytes, address: str) -> None:
        super().__init__(content)
        self.name = address

    def progressed(self) -> None:
        """A packet is complete."""


def broken_off(received: int, length: int) -> av.error.OSError:
    """The connection ended early."""
    return av.error.OSError(5, f"the connection ended after {received} of {bytes_text(length)}")
