"""An MQTT 3.1.1 broker inside the process (amqtt), so that a first test needs no other software.

Loopback only and without passwords: for demos and for one machine. fer-edge listens itself and hands each
connection to amqtt, so that a port in use is one clear error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from threading import Event, Thread
from typing import Any

from fer_edge.errors import SinkError
from fer_edge.runtime.count_text import counted

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LISTENER = "default"  # amqtt wants one of this name
MAX_MESSAGE_BYTES = 1 << 20
"""Of a client's message: a snapshot takes a third of that at most."""

START_SECONDS = 10.0
LINGER_SECONDS = 0.3
STOP_SECONDS = 2.0


class EmbeddedBroker:
    """A broker on 127.0.0.1:`port`; port 0 takes any free one, which `port` then holds."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._thread = Thread(target=self._run, name="mqtt-broker", daemon=True)
        self._ready = Event()
        self._failure: Exception | None = None

    def start(self) -> None:
        """Listen and serve.

        Raises:
            SinkError: amqtt is not installed, or the port is taken.

        """
        try:
            import amqtt.broker  # noqa: F401 - here, for it is an extra, and slow to import
        except ImportError:
            what = "mqtt.broker is 'embedded', but the package amqtt is not installed"
            raise SinkError(
                f"{what}; run: pip install 'fer-edge[embedded]', or install mosquitto and set mqtt.broker: localhost"
            ) from None
        try:
            self._socket = socket.create_server((HOST, self.port))
        except OSError as error:
            what = f"embedded MQTT broker: cannot listen on {HOST}:{self.port}: {os.strerror(error.errno or 0)}"
            raise SinkError(
                f"{what}; set another mqtt.port (0: any free one), or mqtt.broker to the one there"
            ) from None
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or self._failure:
            self._socket.close()
            raise SinkError(f"embedded MQTT broker: amqtt did not start: {self._failure or 'no response'}")

    def close(self) -> None:
        """Stop serving. Subscribers are given a moment to receive what was just published."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # the top of a thread: `start` reports it, later the sink's connection
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_note)
        _hush()
        broker = _broker()

        class BoundedReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt has no types
            """Ends a connection at a packet that announces more than MAX_MESSAGE_BYTES, before it is read."""

            async def read(self, n: int = -1) -> bytes:
                # amqtt reads the length of a packet, and then asks for all that this announced
                if n > MAX_MESSAGE_BYTES:
                    # not one of those that it takes for the end of a packet: after these it keeps reading
                    raise ValueError(f"a packet of {counted(n, 'byte')}, more than {MAX_MESSAGE_BYTES}")
                return bytes(await super().read(n))

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await broker.external_connected(BoundedReader(reader), StreamWriterAdapter(writer), LISTENER)
            finally:
                writer.close()  # amqtt leaves it open where a client never sent CONNECT

        await broker.start()
        server = await asyncio.start_server(greet, sock=self._socket)
        self._ready.set()
        await self._stop.wait()
        server.close()
        await asyncio.sleep(LINGER_SECONDS)  # amqtt acknowledges before it forwards, and drops the rest at shutdown
        with contextlib.suppress(TimeoutError):  # it waits for ever for the acknowledgement of a client that left
            await asyncio.wait_for(broker.shutdown(), STOP_SECONDS)


def _broker() -> Any:
    """The broker of amqtt without one of its faults: it sends whoever connects the retained messages of all
    subscriptions."""
    from amqtt.broker import Broker

    class ReservedBroker(Broker):  # type: ignore[misc]  # amqtt has no types
        async def _publish_retained_messages_for_subscription(self, subscription: Any, session: Any) -> None:
            theirs = self._subscriptions.get(subscription[0], ())
            if any(other.client_id == session.client_id for other, _ in theirs):
                await super()._publish_retained_messages_for_subscription(subscription, session)

    plugins: dict[str, dict[str, Any]] = {"fer_edge.sinks.mqtt.embedded_login.Anyone": {}}
    return ReservedBroker({"listeners": {LISTENER: {"type": "external"}}, "plugins": plugins})


def _hush() -> None:
    """Silence amqtt: it logs a traceback for every client that leaves without a goodbye, and each change of state."""
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.ERROR)


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What amqtt did not catch ends that one connection; the client sees it and comes back."""
    log.debug("embedded MQTT broker: %s: %r", context.get("message"), context.get("exception"))
