"""Line by line: for pipes, logs and `--json`."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from rich.console import Console
from rich.text import Text

from fer_edge.commands.watch.received import ReceivedEvent, ReceivedState, clock_time, printable, reason_text
from fer_edge.commands.watch.view import PATIENCE_SECONDS, QUIET_SECONDS, WatchOptions
from fer_edge.errors import SinkError
from fer_edge.runtime.count_text import counted
from fer_edge.sinks.mqtt.broker import Broker
from fer_edge.tracking.signals import SIGNALS

NARROW = 80
"""Cells below which lines leave out what can be missed."""

BAR_CELLS = 6
DEVICE_CELLS = 10
REMARK_CELLS = 11

COLOURS = {"start": "green", "update": "cyan", "enter": "green", "leave": "dim", "end": "dim"}
AVAILABILITY = {
    "online": "is online",
    "offline": "is offline: the daemon is not running or has lost the broker",
}
CAMERA = {"online": "receives frames from its camera", "offline": "receives no frames from its camera"}


HELD = ("camera/availability", "state")
"""Retained even for an offline device: shown only once it is online."""


class Lines:
    """See `Viewer`; a line for each message, as events or remarks."""

    topics: tuple[str, ...] = ("availability", "camera/availability", "state", "event")

    def __init__(self, options: WatchOptions) -> None:
        self.events = 0
        self._options = options
        self._out = _console(stderr=False)
        self._remarks = _console(stderr=True) if options.json else self._out
        self.over = False  # what shall be shown has been shown
        self._trouble: str | None = None
        self._connected = False  # at any time so far
        self._why: str | None = None  # why there is no connection
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._people: set[tuple[str, int | None]] = set()
        self._online: set[str] = set()
        self._others: set[str] = set()  # devices that were not asked for
        self._held: dict[str, dict[str, bytes]] = {}  # device -> messages of one that may be offline, by kind
        self._cameras: dict[str, str] = {}  # device -> the last status of its camera
        self._heard = False
        self._quiet_at = float("inf")  # when to say that nothing came
        self._faces: dict[str, tuple[int, str]] = {}  # device -> faces in view, and in each zone
        self._show: dict[str, Callable[[str, bytes], None]] = {
            "availability": self._availability,
            "camera/availability": self._camera,
            "state": self._state,
            "event": self._event,
        }

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be put back."""

    def connected(self, broker: Broker) -> None:
        """The broker has accepted us."""
        self._trouble, self._why, self._patient_until = None, None, 0.0
        self._connected = True
        self._quiet_at = time.monotonic() + QUIET_SECONDS
        self._online.clear()
        self._remark(f"connected to {broker}: watching {self._options.where}; Ctrl-C ends", "bold")

    def away(self, why: str) -> None:
        """There is no connection; the same reason is printed once. A broker that is just starting gets a moment."""
        self._why = why
        if why != self._trouble and time.monotonic() >= self._patient_until:
            self._trouble = why
            self._remark(why, "yellow")

    def tick(self) -> None:
        """Called now and then while connected."""
        if not self._heard and time.monotonic() >= self._quiet_at:
            self._quiet_at = float("inf")
            self._remark(self._options.silence(self._others), "yellow")

    def show(self, topic: str, payload: bytes) -> None:
        """Show one message."""
        device, _, kind = topic.removeprefix(self._options.mqtt.topic + "/").partition("/")
        if kind not in self._show:
            return  # not subscribed to; a broker may deliver it all the same
        if self._options.device not in ("+", device):
            self._others.add(printable(device))
            return
        self._heard = True
        try:
            if kind in HELD and device not in self._online:
                self._held.setdefault(device, {})[kind] = payload
            else:
                self._show[kind](printable(device), payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._remark(f"{printable(topic)}: cannot read this message, skipped: {printable(str(error))}", "yellow")

    def _availability(self, device: str, payload: bytes) -> None:
        word = printable(payload.decode())
        if not word:
            self._remark(f"{device} is gone: its retained messages were removed", "dim")
            return
        self._remark(f"{device} {AVAILABILITY.get(word, f'reports {word!r}')}", "green" if word == "online" else "red")
        held = self._held.pop(device, {})
        if word == "online":
            self._online.add(device)
            for kind, last in held.items():
                self.show(f"{self._options.mqtt.topic}/{device}/{kind}", last)
        elif device in self._online:
            self.over = self._options.until_offline
            self._online.discard(device)
            self._cameras.pop(device, None)
            self._faces.pop(device, None)

    def _camera(self, device: str, payload: bytes) -> None:
        word = printable(payload.decode())
        if self._cameras.get(device) == word:
            return  # the retained value, once more as news
        self._cameras[device] = word
        self._remark(
            f"{device} {CAMERA.get(word, f'reports {word!r} for its camera')}", "green" if word == "online" else "red"
        )

    def _state(self, device: str, payload: bytes) -> None:
        state = msgspec.json.decode(payload, type=ReceivedState)
        if self._faces.get(device) != (state.faces, state.in_zones):
            self._faces[device] = state.faces, state.in_zones
            self._remark(f"{device} sees {summary(state)}", "dim")

    def _event(self, device: str, payload: bytes) -> None:
        event = msgspec.json.decode(payload, type=ReceivedEvent)
        self.events += 1
        self._people.add((device, event.track_id))
        if self._options.json:
            print(printable(payload.decode().strip()), flush=True)  # noqa: T201 - this is the output
        else:
            plain = self._out.options.ascii_only
            narrow = self._out.is_terminal and self._out.width < NARROW
            line = event_line(device, event, ascii_only=plain, narrow=narrow)
            self._out.print(Text(line, COLOURS.get(event.event_type, "")), soft_wrap=True)

    def sum_up(self) -> None:
        """The last line.

        Raises:
            SinkError: there never was a connection.
        """
        if self._why and not self._connected:
            raise SinkError("no message arrived from it" if self._trouble else self._why)
        self._remark(
            f"{counted(self.events, 'event', none='no')} of {counted(len(self._people), 'face', none='no')}", "bold"
        )

    def _remark(self, text: str, style: str) -> None:
        self._remarks.print(Text(text, style), soft_wrap=not self._remarks.is_terminal)


def event_line(device: str, event: ReceivedEvent, *, ascii_only: bool = False, narrow: bool = False) -> str:
    """One event in at most 80 columns, followed by the signals of a face that ends; without bar, remark
    and signals in 60, where it is to be narrow."""
    columns = [
        clock_time(event.ts),
        device if len(device) <= DEVICE_CELLS else device[: DEVICE_CELLS - 1] + ("~" if ascii_only else "…"),
        "?" if event.track_id is None else f"#{event.track_id}",
        printable(event.event_type),
        finding(event, ascii_only=ascii_only, bar=not narrow),
        f"{event.dwell_s if event.zone_dwell_s is None else event.zone_dwell_s:.1f} s",
        "" if narrow else _remark(event),
    ]
    widths = ("<8", f"<{DEVICE_CELLS}", "<4", "<6", "<14.14" if narrow else "<21", ">8", "<12")
    line = "  ".join(format(text, width) for text, width in zip(columns, widths, strict=True)).rstrip()
    return "  ".join([line, *signal_texts(event)]) if event.event_type == "end" and not narrow else line


def signal_texts(event: ReceivedEvent) -> list[str]:
    """A face's signals when it left: as in "looks 3.2 s"."""
    each = event.signals.items()
    on = [f"{printable(name)} {signal.seconds:.1f} s" for name, signal in each if signal.seconds]
    means = [(name, signal.mean) for name, signal in each if signal.mean is not None]
    return on + [f"{printable(name)} {mean:{_form(name)}}" for name, mean in means]


def _form(signal: str) -> str:
    """How a level is written; one of a newer device as most are."""
    return SIGNALS[signal].form if signal in SIGNALS else "+.2f"


def _remark(event: ReceivedEvent) -> str:
    if event.replayed:
        return "replayed"
    if event.zone:
        return printable(event.zone)[:REMARK_CELLS]
    return f"was {printable(event.was)}" if event.was else ""


def finding(event: ReceivedEvent, *, ascii_only: bool, bar: bool = True) -> str:
    """The expression with its confidence and, where wanted, a bar, or in words why there is none."""
    if event.expression is None:
        return reason_text(event.reason)
    confidence = min(1.0, max(0.0, event.confidence))
    drawn = f" {round(confidence * BAR_CELLS) * ('#' if ascii_only else '█')}" if bar else ""
    return f"{printable(event.expression):<9} {confidence:.0%}{drawn}"


def summary(state: ReceivedState) -> str:
    """As in "2 faces: 1 happiness, 1 none"."""
    shown = ", ".join(f"{count} {printable(label)}" for label, count in state.expressions.items() if count)
    zones = f"; in zones: {state.in_zones}" if state.zones else ""
    signals = f"; {state.in_signals}" if state.in_signals else ""
    more = zones + (signals if state.faces else "")
    return counted(state.faces, "face", none="no") + (f": {shown}" if shown else "") + more


def _console(*, stderr: bool) -> Console:
    """Plain lines where it is no terminal: no colour, no wrapping to a width that nobody set."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)
