"""The live page. Its failures never affect events or end the daemon."""

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

from fer_edge.config import Config, Web
from fer_edge.errors import ConfigError, SinkError
from fer_edge.instance import state_folder
from fer_edge.records import Identity, Update
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.runtime.secret import secret
from fer_edge.runtime.worker import Worker
from fer_edge.settings.control import Control
from fer_edge.settings.loader import show
from fer_edge.settings.overrides import Answer
from fer_edge.settings.shapes import shapes_of
from fer_edge.sinks.picture_ring import PICTURES_FOLDER
from fer_edge.sinks.web.messages import (
    MAX_BYTES,
    ClientMessage,
    DrawMessage,
    Hello,
    News,
    Reply,
    SaveMessage,
    SetMessage,
    Settings,
    colors,
    encode,
    purpose_words,
)
from fer_edge.sinks.web.recent import RecentHistory
from fer_edge.sinks.web.renderer import FrameRenderer
from fer_edge.sinks.web.settings import groups
from fer_edge.sinks.web.status import StatusCollector
from fer_edge.sinks.web.viewers import Live, Viewer

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16
HEALTH_SECONDS = 1.0
GRACE_SECONDS = 1  # for pages to hear that the daemon stops
SPARE_CONNECTIONS = 100  # beside those of viewers: for files and forms
BACKLOG = 32  # asyncio accepts so many at once, before any can be refused: fewer than files may be open
TOO_MANY = "too many changes wait; try again"
LIMITS: dict[type[ClientMessage], tuple[int, float]] = {
    SetMessage: (100, 0.05),
    SaveMessage: (5, 1.0),
    DrawMessage: (10, 0.5),
}
"""The burst of messages of a kind from all pages together, and the seconds after which one more is accepted."""


class WebSink:
    """Serves the page from a thread of its own with its own loop; pictures are drawn in a second one."""

    def __init__(self, config: Config, identity: Identity, control: Control) -> None:
        self._config, self._identity, self._control = config, identity, control
        self._settings = config.web
        self._groups = groups(self._control.tuning.tunables())
        self.live = Live(config.web.max_viewers)
        self._history = RecentHistory()
        self._pulse = StatusCollector(config, self._control)
        self._studio = FrameRenderer(config, self.live, self._picture)
        self._worker = Worker("web", self._run)
        self._server: Server | None = None
        self._login = False
        self._limits = {kind: RateLimit(burst=burst, every_seconds=pause) for kind, (burst, pause) in LIMITS.items()}
        self.port = config.web.port  # after `start`, the one that is listened on

    @property
    def pictures(self) -> bool:
        """See `Sink.pictures`."""
        return self._config.privacy.images and self.live.watched

    @property
    def studio(self) -> FrameRenderer:
        """Who counts what was drawn."""
        return self._studio

    def start(self) -> None:
        """Listen, and start both threads.

        Raises:
            ConfigError: the network would have access without a token, or its file cannot be read.
            SinkError: the extra is not installed, or it cannot listen there.

        """
        token = token_of(self._settings)
        uvicorn_server = _uvicorn()
        self._socket = listen(self._settings)
        self.port = self._socket.getsockname()[1]
        from fer_edge.sinks.web.app import Site, make_app
        from fer_edge.sinks.web.auth import TokenAuth

        self._login = token is not None
        folder = state_folder(self._config, self._identity.device_id) / PICTURES_FOLDER
        allowed = folder if self._config.privacy.images else None
        site = Site(TokenAuth(token, self.port), self.live, self._hello, self._handle, allowed)
        self._server = uvicorn_server(
            make_app(site, self._settings.names, self._settings.root_path), self._settings.max_viewers
        )
        self._loop = asyncio.new_event_loop()
        self._control.on_change(self._refresh)
        self._worker.start()
        self._studio.start()
        log.info("web: the live page is at %s", address(self._settings.host, self.port))

    def submit(self, update: Update) -> None:
        """Take an update. Never raises: this is a preview only."""
        self._pulse.note(update)
        new = self._history.note(update, self._control.reported("camera"))
        if self.live.watched:
            self._studio.submit(update)
            if new:
                self._in_loop(lambda: self.live.say(encode(News(entries=new))))

    def close(self, timeout: float) -> None:
        """Notify the pages and stop, within `timeout` seconds. Never raises; may be called twice."""
        if not self._worker.started:
            return
        end = time.monotonic() + timeout
        if self._server:
            self._server.should_exit = True
        self._studio.close(timeout / 2)
        if not self._worker.join(max(0.0, end - time.monotonic() - 0.2)) and self._server:
            self._server.force_exit = True
            self._worker.join(max(0.1, end - time.monotonic()))

    def _run(self) -> None:
        """The thread."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self.live.watched = False
            self._socket.close()

    async def _serve(self) -> None:
        assert self._server is not None
        beat = asyncio.ensure_future(self._beat())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        """Send the daemon's health, while there are viewers."""
        while True:
            if self.live.watched:
                self.live.show("health", encode(self._pulse.health(len(self.live))))
            else:
                self._pulse.skip()
            await asyncio.sleep(HEALTH_SECONDS)

    def _in_loop(self, what: Callable[[], None]) -> None:
        """Do this in the loop's thread; not at all where that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def _picture(self, faces: str, jpeg: bytes | None) -> None:
        self._in_loop(lambda: self.live.frame(faces, jpeg))

    def _refresh(self) -> None:
        """Other settings are in force. Called in the control's thread."""
        self._groups = groups(self._control.tuning.tunables())
        self._studio.configure(self._control.config)
        if self.live.watched:
            text = encode(Settings(groups=self._groups, shapes=shapes_of(self._control.config)))
            self._in_loop(lambda: self.live.show("settings", text))

    def _hello(self) -> str:
        return encode(
            Hello(
                device=self._identity.device_id,
                version=self._identity.version,
                boot=self._identity.boot_id,
                at=time.monotonic(),
                begun=self._history.begun,
                images=self._config.privacy.images,
                login=self._login,
                purpose=purpose_words(self._config.privacy),
                colors=colors(),
                entries=self._history.entries(),
                groups=self._groups,
                shapes=shapes_of(self._control.config),
            )
        )

    def _handle(self, viewer: Viewer, said: ClientMessage) -> None:
        """Carry out a page's request; the answer goes to it alone, changes go to all."""

        def reply(key: str, problem: str | None) -> None:
            self._in_loop(lambda: viewer.say(encode(Reply(key=key, problem=problem))))

        def answered(answer: Answer) -> None:
            reply(answer.key, answer.reason)

        if (limit := self._limits.get(type(said))) and not limit.allows():
            key = said.key if isinstance(said, SetMessage) else "shapes" if isinstance(said, DrawMessage) else ""
            reply(key, TOO_MANY)
        elif isinstance(said, SetMessage):
            payload = show(said.value).encode()
            if not self._control.set(said.key, payload, answered, keep=False):
                reply(said.key, TOO_MANY)
        elif isinstance(said, SaveMessage) and not self._control.keep_all(lambda problem: reply("", problem)):
            reply("", TOO_MANY)
        elif isinstance(said, DrawMessage):
            shapes = {"zones": said.zones, "detector.region": said.region}
            if not self._control.draw(shapes, lambda problem: reply("shapes", problem)):
                reply("shapes", TOO_MANY)


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
    """A socket where config says. Raises SinkError."""
    where = f"web: cannot listen on {settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        both = family == socket.AF_INET6 and settings.host == "::"
        return socket.create_server((settings.host, settings.port), family=family, dualstack_ipv6=both)
    except socket.gaierror:
        raise SinkError(f"{where}: not an address of this machine; check web.host") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SinkError(f"{where}: {reason}; set another web.port (0: any free one), or check web.host") from None


def address(host: str, port: int) -> str:
    """What to open in a browser."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def check_web(settings: Web) -> str:
    """Where the page would be. Raises ConfigError or SinkError where it cannot be."""
    token = token_of(settings)
    _uvicorn()
    with listen(settings) as found:
        port = found.getsockname()[1] if settings.port else 0
    return f"{address(settings.host, port)}{', with a token' if token else ', without a token'}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _uvicorn() -> Callable[[ASGIApp, int], Server]:
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
