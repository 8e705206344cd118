"""The live page. Its failures never affect events or end the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fer_edge.config import Config, Web
from fer_edge.instance import state_folder
from fer_edge.records import Identity, Update
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.settings.control import Control
from fer_edge.settings.loader import show
from fer_edge.settings.overrides import Answer
from fer_edge.settings.shapes import shapes_of
from fer_edge.sinks.picture_ring import PICTURES_FOLDER
from fer_edge.sinks.web.messages import (
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
from fer_edge.sinks.web.server import PageServer, address, listen, token_of, uvicorn_server
from fer_edge.sinks.web.settings import groups
from fer_edge.sinks.web.status import StatusCollector
from fer_edge.sinks.web.viewers import Live, Viewer

if TYPE_CHECKING:
    from fer_edge.sinks.web.auth import TokenAuth

TOO_MANY = "too many changes wait; try again"
LIMITS: dict[type[ClientMessage], tuple[int, float]] = {
    SetMessage: (100, 0.05),
    SaveMessage: (5, 1.0),
    DrawMessage: (10, 0.5),
}
"""The burst of messages of a kind from all pages together, and the seconds after which one more is accepted."""


class WebSink:
    """The page of a camera: served from the server's thread with its own loop; pictures are drawn in a second one."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        control: Control,
        *,
        server: PageServer | None = None,
        cameras: tuple[str, ...] = (),
    ) -> None:
        """`server`: that of several pages, whose owner begins this one and ends after it; None: one of its own.
        `cameras`: the names of those whose pages stand beside it, this one's too."""
        self._cameras = cameras
        self._config, self._identity, self._control = config, identity, control
        self._settings = config.web
        self._groups = groups(self._control.tuning.tunables())
        self.live = Live(config.web.max_viewers)
        self._history = RecentHistory()
        self._status = StatusCollector(config, self._control)
        self._renderer = FrameRenderer(config, self.live, self._picture)
        self._own, self._server = server is None, server or PageServer(config.web)
        self._login = False
        self._limits = {kind: RateLimit(burst=burst, every_seconds=pause) for kind, (burst, pause) in LIMITS.items()}

    @property
    def port(self) -> int:
        """After `start`, the one that is listened on."""
        return self._server.port

    @property
    def pictures(self) -> bool:
        """See `Sink.pictures`."""
        return self._config.privacy.images and self.live.watched

    @property
    def renderer(self) -> FrameRenderer:
        """Who counts what was drawn."""
        return self._renderer

    def start(self) -> None:
        """Listen, and start both threads; with a server of several pages, only what is this page's own.

        Raises:
            ConfigError: the network would have access without a token, or its file cannot be read.
            SinkError: the extra is not installed, or it cannot listen there.

        """
        if self._own:
            self.begin(self._server.open())
            from fer_edge.sinks.web.app import make_app

            self._server.serve(make_app(self.site, self._settings.names, self._settings.root_path))

    def begin(self, keys: TokenAuth) -> None:
        """Make the page ready for a server whose door has these keys."""
        from fer_edge.sinks.web.app import Site

        self._login = keys.needed
        folder = state_folder(self._config, self._identity.device_id) / PICTURES_FOLDER
        allowed = folder if self._config.privacy.images else None
        self.site = Site(keys, self.live, self._hello, self._handle, allowed)
        self._control.on_change(self._refresh)
        self._server.every_second(self._beat, at_end=self._unwatch)
        self._renderer.start()

    def submit(self, update: Update) -> None:
        """Take an update. Never raises: this is a preview only."""
        self._status.note(update)
        new = self._history.note(update, self._control.reported("camera"))
        if self.live.watched:
            self._renderer.submit(update)
            if new:
                self._in_loop(lambda: self.live.say(encode(News(entries=new))))

    def close(self, timeout: float) -> None:
        """Notify the pages and stop, within `timeout` seconds. Never raises; may be called twice."""
        if not self._renderer.started:
            return
        end = time.monotonic() + timeout
        if self._own:
            self._server.stop()
        self._renderer.close(timeout / 2)
        if self._own:
            self._server.close(max(0.0, end - time.monotonic()))

    def _beat(self) -> None:
        """Send the daemon's health, while there are viewers."""
        if self.live.watched:
            self.live.show("health", encode(self._status.health(len(self.live))))
        else:
            self._status.skip()

    def _unwatch(self) -> None:
        self.live.watched = False

    def _in_loop(self, what: Callable[[], None]) -> None:
        self._server.in_loop(what)

    def _picture(self, faces: str, jpeg: bytes | None) -> None:
        self._in_loop(lambda: self.live.frame(faces, jpeg))

    def _refresh(self) -> None:
        """Other settings are in force. Called in the control's thread."""
        self._groups = groups(self._control.tuning.tunables())
        self._renderer.configure(self._control.config)
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
                cameras=self._cameras,
                purpose=purpose_words(self._config.privacy),
                colors=colors(),
                entries=self._history.entries(),
                groups=self._groups,
                shapes=shapes_of(self._control.config),
            )
        )

    def _handle(self, viewer: Viewer, message: ClientMessage) -> None:
        """Carry out a page's request; the answer goes to it alone, changes go to all."""

        def reply(key: str, problem: str | None) -> None:
            self._in_loop(lambda: viewer.say(encode(Reply(key=key, problem=problem))))

        def answered(answer: Answer) -> None:
            reply(answer.key, answer.reason)

        if (limit := self._limits.get(type(message))) and not limit.allows():
            key = (
                message.key if isinstance(message, SetMessage) else "shapes" if isinstance(message, DrawMessage) else ""
            )
            reply(key, TOO_MANY)
        elif isinstance(message, SetMessage):
            payload = show(message.value).encode()
            if not self._control.set(message.key, payload, answered, keep=False):
                reply(message.key, TOO_MANY)
        elif isinstance(message, SaveMessage) and not self._control.keep_all(lambda problem: reply("", problem)):
            reply("", TOO_MANY)
        elif isinstance(message, DrawMessage):
            shapes = {"zones": message.zones, "detector.region": message.region}
            if not self._control.draw(shapes, lambda problem: reply("shapes", problem)):
                reply("shapes", TOO_MANY)


def check_web(settings: Web) -> str:
    """Where the page would be. Raises ConfigError or SinkError where it cannot be."""
    token = token_of(settings)
    uvicorn_server()
    with listen(settings) as found:
        port = found.getsockname()[1] if settings.port else 0
    return f"{address(settings.host, port)}{', with a token' if token else ', without a token'}"
