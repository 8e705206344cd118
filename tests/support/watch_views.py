"""Messages for the views of `fer-edge watch`, and what its screen shows, as text."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from rich.console import Console

from fer_edge.commands.watch.screen import TerminalScreen
from fer_edge.commands.watch.view import WatchOptions
from fer_edge.contract.encode import event_payload, state_payload
from tests.support.face_events import IDENTITY, face_event, face_state

STATS_SEEN = {"fps": 14.987, "latency_ms": [31.2, 40.0], "rss_mb": 112.6, "queue": 3, "temperature_c": 51.2}


def screen_of(*, width: int = 80, height: int = 24, **options: Any) -> TerminalScreen:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    return TerminalScreen(WatchOptions(**options), console)


def lines(screen: TerminalScreen) -> list[str]:
    """The picture's lines without colours."""
    return [str(line).rstrip() for line in screen.picture("12:00:00").renderables]


def event(seq: int = 1, **changes: Any) -> bytes:
    return msgspec.json.encode(event_payload(face_event(seq, **changes), IDENTITY))


def state(*labels: str | None) -> bytes:
    return msgspec.json.encode(state_payload(tuple(face_state(label) for label in labels)))
