"""The server of the live page: its socket, its token and its loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fer_edge.config import Web
from fer_edge.errors import ConfigError, SinkError
from fer_edge.runtime.secret import secret
from fer_edge.runtime.worker import Worker
from fer_edge.sinks.web.messages import MAX_BYTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

    from fer_edge.sinks.web.auth import TokenAuth

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16
BEAT_SECONDS = 1.0
GRACE_SECONDS = 1  # for pages to hear that the daemon stops
SPARE_CONNECTIONS = 100  # beside those of viewers: for files and forms
BACKLOG = 32  # asyncio accepts so many at once, before any can be refused: fewer than files may be open


class PageServer:
    """Serves one application; `open` and `serve` are called once each, in this order."""

    def __init__(self, settings: Web, *, pages: int = 1) -> None:
        """`pages`: how many cameras have a page of their own, each for `web.max_viewers` viewers."""
        self._settings, self._viewers = settings, settings.max_viewers * pages
        self._worker = Worker("web", self._run)
        self._server: Server | None = None
        self._beats: list[Callable[[], None]] = []
        self._ends: list[Callable[[], None]] = []
        self.port = settings.port  # after `open`, the one that is listened on

    def open(self) -> TokenAuth:
        """Take the port; returns what decides who may look.

        Raises:
            ConfigError: the network would have access without a token, or its file cannot be read.
            SinkError: the extra is not installed, or it cannot listen there.

        """
        token = token_of(self._settings)
        self._make = uvicorn_server()
        self._socket = listen(self._settings)
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        from fer_edge.sinks.web.auth import TokenAuth

        return TokenAuth(token, self.port)

    def every_second(self, beat: Callable[[], None], *, at_end: Callable[[], None]) -> None:
        """Call this in the loop while it serves, and the other one when it ends. To be called before `serve`."""
        self._beats.append(beat)
        self._ends.append(at_end)

    def serve(self, app: ASGIApp) -> None:
        """Answer from now on, in the thread."""
        self._server = self._make(app, self._viewers)
        self._worker.start()
        log.info("web: the live page is at %s", address(self._settings.host, self.port))

    def in_loop(self, what: Callable[[], None]) -> None:
        """Call this in the loop's thread, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def stop(self) -> None:
        """Begin to shut down; open pages are notified."""
        if self._server:
            self._server.should_exit = True

    def close(self, timeout: float) -> None:
        """Notify the pages and stop, within `timeout` seconds. Never raises; may be called twice."""
        if not self._worker.started:
            return
        end = time.monotonic() + timeout
        self.stop()
        if not self._worker.join(max(0.0, timeout - 0.2)) and self._server:
            self._server.force_exit = True
            self._worker.join(max(0.1, end - time.monotonic()))

    def _run(self) -> None:
        """The thread."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            for end in self._ends:
                end()
            self._socket.close()

    async def _serve(self) -> None:
        assert self._server is not None
        beat = asyncio.ensure_future(self._beat())
        beat.add_done_callback(lambda _: self.stop())  # a page that no longer tells how things are must not look alive
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        while True:
            for beat in self._beats:
                beat()
            await asyncio.sleep(BEAT_SECONDS)


def token_of(settings: Web) -> str | None:
    """The token; None: none, since only this machine has access.

    Raises:
        ConfigError: the network would have access without one, it is too short, or its file cannot be read.

    """
    token = secret("web-token", settings.token_file)
    how = "put one into web.token_file; to generate it: openssl rand -hex 16"
    if token is None:
        if not _is_loopback(settings.host):
            where = f"section web, key host: {settings.host} makes the page reachable from the network"
            raise ConfigError(f"{where}, expected a token beside it; {how}, or set 127.0.0.1")
    elif len(token) < TOKEN_LENGTH:
        raise ConfigError(
            f"section web, key token_file: expected at least {TOKEN_LENGTH} characters, got {len(token)}; {how}"
        )
    return token


def listen(settings: Web) -> socket.socket:
    """A socket at the configured address. Raises SinkError."""
    where = f"web: cannot listen on {settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        both = family == socket.AF_INET6 and settings.host == "::"
        return socket.create_server((settings.host, settings.port), family=family, dualstack_ipv6=both)
    except (socket.gaierror, UnicodeError):  # UnicodeError: no host name can be like this, as "a..b"
        raise SinkError(f"{where}: not an address of this machine; check web.host") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SinkError(f"{where}: {reason}; set another web.port (0: any free one), or check web.host") from None


def address(host: str, port: int) -> str:
    """The address to open in a browser."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def uvicorn_server() -> Callable[[ASGIApp, int], Server]:
    """What makes a server. Raises SinkError where the extra is not installed."""
    try:
        import starlette  # noqa: F401 - here, for they are an extra
        import uvicorn
        import websockets  # noqa: F401
    except ImportError as error:
        what = f"web.enabled is true, but the package {error.name} is not installed"
        raise SinkError(f"{what}; run: pip install 'fer-edge[web]'") from None

    from fer_edge.sinks.web.limits import Connections, guarded

    def make(app: ASGIApp, viewers: int) -> Server:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=guarded(Connections()),
            backlog=BACKLOG,
            ws="websockets-sansio",
            ws_max_size=MAX_BYTES,
            ws_per_message_deflate=False,  # pictures do not get smaller
            lifespan="off",
            log_config=None,
            log_level="error",  # invalid requests must not fill the log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=viewers + SPARE_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        return uvicorn.Server(config)

    return make
