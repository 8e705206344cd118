"""The live pages of several cameras behind one address: an overview with the picture of each, and a page for each."""

from __future__ import annotations

from html import escape

from fer_edge.config import CamerasConfig, Config
from fer_edge.records import Identity
from fer_edge.settings.control import Control
from fer_edge.sinks.web.messages import purpose_words
from fer_edge.sinks.web.server import PageServer
from fer_edge.sinks.web.sink import WebSink


class CameraPages:
    """`open`, then `add` for each camera, then `serve`; `close` ends it."""

    def __init__(self, config: CamerasConfig, device: str) -> None:
        """`device`: the daemon's device id."""
        self._config, self._device = config, device
        self._server = PageServer(config.web, pages=2 * len(config.cameras))  # the overview looks at each, too
        self._sinks: dict[str, WebSink] = {}

    def open(self) -> None:
        """Take the port. Raises as `PageServer.open` does."""
        self._keys = self._server.open()

    def add(self, name: str, config: Config, identity: Identity, control: Control) -> WebSink:
        """The page of a camera."""
        sink = WebSink(config, identity, control, server=self._server, cameras=tuple(self._config.cameras))
        sink.begin(self._keys)
        self._sinks[name] = sink
        return sink

    def serve(self) -> None:
        """Answer from now on."""
        from fer_edge.sinks.web.app import make_cameras_app

        web = self._config.web
        sites = {name: sink.site for name, sink in self._sinks.items()}
        self._server.serve(make_cameras_app(sites, self._keys, self._overview(), web.names, web.root_path))

    def close(self, seconds: float) -> None:
        """Notify the pages and stop."""
        self._server.close(seconds)

    def _overview(self) -> dict[str, str]:
        """The texts for the overview's placeholders."""
        purpose = purpose_words(self._config.privacy) or "What this device is for is not declared (privacy.purpose)."
        return {
            "device": escape(self._device),
            "cameras": "".join(map(_card, self._sinks)),
            "purpose": escape(purpose),
            "logout": "" if self._keys.needed else " hidden",
        }


def _card(name: str) -> str:
    """A camera on the overview; its name has letters, digits, _ and - only. cameras.js fills in what is seen."""
    return (
        f'<li class="panel camera" data-camera="{name}"><a href="camera/{name}/"><h2>{name}</h2>'
        f'<div class="stage"><canvas width="640" height="480" role="img" aria-label="Live picture of {name}"></canvas>'
        '<p class="notice">Connecting to the daemon</p></div></a>'
        '<p class="row"><span class="pill" role="status"><span class="dot" aria-hidden="true"></span>'
        '<span class="link-text">Connecting</span></span> <span class="seen">Not known yet</span></p>'
        '<p class="on" hidden></p><p class="wrong" hidden></p></li>'
    )
