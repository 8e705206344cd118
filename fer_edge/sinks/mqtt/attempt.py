"""A connection being opened in a thread of its own."""

from __future__ import annotations

from threading import Thread

from fer_edge.sinks.mqtt.connection import Connection


class ConnectThread:
    """A connection being opened in a thread of its own: names, TLS and far brokers take seconds."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection, self._timeout = connection, timeout
        self._failure: Exception | None = None
        self._abandoned = False
        self._thread = Thread(target=self._run, name="mqtt-connect", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is not decided yet."""
        return self._thread.is_alive()

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
        if self._abandoned:
            self._connection.drop()
