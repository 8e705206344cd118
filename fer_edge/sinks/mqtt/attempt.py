"""A connection being opened in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from fer_edge.sinks.mqtt.connection import Connection


class ConnectThread:
    """A connection being opened in a thread of its own: names, TLS and far brokers take seconds."""

    def __init__(self, connection: Connection, timeout: float, *, decided: Callable[[], None]) -> None:
        """`decided`: called in that thread when `running` is over."""
        self._connection, self._timeout, self._decided = connection, timeout, decided
        self.running = True
        """Whether it is not decided yet."""
        self._failure: Exception | None = None
        self._abandoned = False
        self._thread = Thread(target=self._run, name="mqtt-connect", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """Abandon it, whatever its outcome."""
        self._abandoned = True

    def check(self) -> None:
        """Raise what prevented it, if anything did: LinkError, or an internal error."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self._connection.connect(self._timeout)
        except Exception as error:  # the top of a thread: `check` raises it
            self._failure = error
        finally:
            self.running = False
            self._decided()
        if self._abandoned:
            self._connection.drop()
