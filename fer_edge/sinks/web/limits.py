"""How many idle connections may be open, and how long a request may take to arrive.

A connection counts from the moment it is accepted until it has become a viewer's websocket, which is counted elsewhere.
Beyond the limit, one is closed: the oldest of the address that has the most. So a client with many
connections loses its own, and the device's owner always gets in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fer_edge.sinks.web.auth import network_of

MOST = 128
"""Connections in total, apart from those of viewers."""
MOST_OF_ONE = 64
"""Connections from one address; browsers use up to six a page."""
REQUEST_SECONDS = 10.0
"""For a complete request, head and body, from the first moment of a connection, or from its first byte on one that is
kept alive."""


class Connections:
    """Open connections, oldest first. For the loop's thread."""

    def __init__(self) -> None:
        self._addresses: dict[GuardedProtocol, str] = {}
        self.refused = 0
        """Connections closed for the limit since the start."""

    def __len__(self) -> int:
        return len(self._addresses)

    def add(self, protocol: GuardedProtocol, address: str) -> None:
        """Count a new connection; one that is too many is closed."""
        self._addresses[protocol] = address
        counts = Counter(self._addresses.values())
        if counts[address] > MOST_OF_ONE:
            self._close_oldest(address)
        elif len(self) > MOST:
            self._close_oldest(counts.most_common(1)[0][0])

    def discard(self, protocol: GuardedProtocol) -> None:
        """It has ended, or become a viewer."""
        self._addresses.pop(protocol, None)

    def _close_oldest(self, address: str) -> None:
        oldest = next(protocol for protocol, own in self._addresses.items() if own == address)
        self.discard(oldest)
        self.refused += 1
        oldest.transport.abort()


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP protocol within these limits."""

    guard: Connections  # of the server; see `guarded`
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Accepted: it counts, and its timeout starts."""
        super().connection_made(transport)
        self._expect_request()
        self.guard.add(self, network_of(self.client[0] if self.client else ""))

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; once it is complete, the timeout stops."""
        self._expect_request()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._request_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """From here on it belongs to a viewer, counted elsewhere."""
        self._request_complete()
        self.guard.discard(self)
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._request_complete()
        self.guard.discard(self)
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _request_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def guarded(connections: Connections) -> type[GuardedProtocol]:
    """The protocol of a server whose connections are counted here."""
    return type("ServersProtocol", (GuardedProtocol,), {"guard": connections})
