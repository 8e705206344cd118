"""A live view for a terminal: devices, faces with bars, alerts, events. Fits 80 x 24; drawn when anything is new."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from fer_edge.commands.watch.devices import Device, WatchedFace, device_parts, from_before
from fer_edge.commands.watch.forgetting import Forgetting
from fer_edge.commands.watch.keys import Keys
from fer_edge.commands.watch.received import (
    ReceivedAlert,
    ReceivedEvent,
    ReceivedState,
    ReceivedStats,
    clock_time,
    printable,
    reason_text,
)
from fer_edge.commands.watch.view import QUIET_SECONDS, WatchOptions
from fer_edge.drawing.palette import PALETTE, css
from fer_edge.errors import SinkError
from fer_edge.runtime.count_text import counted
from fer_edge.sinks.mqtt.broker import Broker

DEVICE_ROWS, ALERT_ROWS = 6, 3  # at most; faces and events share the rest
DEVICE_CELLS, NARROW_CELLS, LABEL_CELLS = 12, 8, 10
FIRST_SECONDS = 0.4  # what the broker keeps comes within so long; the first picture waits for it
NARROW = 76  # cells below which lines leave out what can be missed
LOST_SECONDS = 90.0  # a face that is not heard of for so long (heartbeats come every 30 s) is not shown any more
KEPT_EVENTS = 200
EVENT_STYLES = {"start": "green", "update": "cyan", "enter": "green", "leave": "dim", "end": "dim"}


class TerminalScreen:
    """See `Viewer`; everything in one picture of the terminal's size."""

    topics: tuple[str, ...] = ("availability", "camera/availability", "state", "event", "stats", "alert/+")

    def __init__(self, options: WatchOptions, console: Console | None = None) -> None:
        self.events, self.over = 0, False
        self._options = options
        self.console = console or Console(highlight=False, markup=False, emoji=False)
        self.live = Live(console=self.console, screen=True, auto_refresh=False)
        self._devices: dict[str, Device] = {}
        self._others: set[str] = set()  # devices that were not asked for
        self.keys = Keys()
        self._forgetting = Forgetting(options.forget) if options.forget else None
        self._paint_at, self._quiet_at = 0.0, float("inf")  # monotonic: not painted before, shown as silent after
        self._log: deque[Text] = deque(maxlen=KEPT_EVENTS)
        self._status, self._trouble = "connecting", True
        self._connected_once = False
        self._drawn = ""  # the clock's second that is shown
        self._new = True
        self._kinds: dict[str, Callable[[Device, str, bytes], None]] = {
            "availability": self._availability,
            "camera/availability": self._camera,
            "state": self._state,
            "event": self._event,
            "stats": self._stats,
        }

    def __enter__(self) -> TerminalScreen:
        self.keys.__enter__()
        self.live.__enter__()
        self._paint_at = time.monotonic() + FIRST_SECONDS
        return self

    def __exit__(self, *_: object) -> None:
        self.live.__exit__(None, None, None)
        self.keys.__exit__()

    def connected(self, broker: Broker) -> None:
        """See `Viewer.connected`."""
        where = f", {self._options.where}" if self.console.width >= NARROW else ""
        self._status = f"connected to {broker}{where}"
        self._paint_at, self._quiet_at = time.monotonic() + FIRST_SECONDS, time.monotonic() + QUIET_SECONDS
        self._trouble, self._connected_once, self._new = False, True, True

    def away(self, why: str) -> None:
        """See `Viewer.away`. What was known is old from now on."""
        self._status, self._trouble, self._new = why, True, True
        for device in self._devices.values():
            device.availability = "unknown"
            device.clear()

    def tick(self) -> None:
        """Draw, where something is new or the clock has moved on."""
        for key in self.keys.pressed():
            if self._forgetting:
                self._forgetting.press(key, self._offline())
                self._new = True
        now = datetime.now().strftime("%H:%M:%S")
        if (self._new or now != self._drawn) and time.monotonic() >= self._paint_at:
            self._new, self._drawn = False, now
            self.forget_lost()
            self.live.update(self.picture(now), refresh=True)

    def show(self, topic: str, payload: bytes) -> None:
        """See `Viewer.show`."""
        name, _, kind = topic.removeprefix(self._options.mqtt.topic + "/").partition("/")
        if self._options.device not in ("+", name):
            self._others.add(printable(name))
            return
        show = self._alert if kind.startswith("alert/") else self._kinds.get(kind)
        if show is None:
            return  # not subscribed to; a broker may deliver it all the same
        if not payload and printable(name) not in self._devices:
            return  # the rest of what is removed
        device, self._quiet_at = self._devices.setdefault(printable(name), Device()), float("inf")
        self._new = True
        try:
            show(device, printable(name), payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._note(f"{printable(topic)}: cannot read this message: {printable(str(error))}", "yellow")

    def sum_up(self) -> None:
        """See `Viewer.sum_up`."""
        if not self._connected_once:
            raise SinkError(self._status)
        self.console.print(
            f"{counted(self.events, 'event', none='no')} from {counted(len(self._devices), 'device', none='no')}"
        )

    def _availability(self, device: Device, name: str, payload: bytes) -> None:
        word = payload.decode()
        if not word:  # `fer-edge forget`, or another device id
            self._devices.pop(name, None)
            return
        if word != device.availability:
            self._note(f"{name} is {printable(word)}", "green" if word == "online" else "bold red")
        if word == "offline":
            self.over = self.over or (device.online and self._options.until_offline)
            device.clear()
        known = device.availability != "unknown"
        device.availability = printable(word)
        device.changed = ("" if known else "before ") + datetime.now().strftime("%H:%M:%S")

    def _camera(self, device: Device, name: str, payload: bytes) -> None:
        word = printable(payload.decode())
        if device.online and device.camera and word != device.camera:
            self._note(f"{name}: its camera is {word}", "green" if word == "online" else "bold red")
        device.camera = word

    def _state(self, device: Device, _: str, payload: bytes) -> None:
        if not payload:
            return
        state = msgspec.json.decode(payload, type=ReceivedState)
        device.faces_in_view, device.in_zones, device.expressions = state.faces, state.in_zones, state.expressions
        device.in_signals = state.in_signals
        if not device.faces_in_view:
            device.faces.clear()

    def _stats(self, device: Device, _: str, payload: bytes) -> None:
        device.stats = msgspec.json.decode(payload, type=ReceivedStats)

    def _alert(self, device: Device, name: str, payload: bytes) -> None:
        if not payload:  # the alert was taken out of the configuration
            return
        alert = msgspec.json.decode(payload, type=ReceivedAlert)
        if alert.state == "ON":
            device.alerts[alert.name] = alert
            if device.online:
                self._note(f"{name}: alert {printable(alert.name)}", "bold red")
        else:
            device.alerts.pop(alert.name, None)

    def _event(self, device: Device, name: str, payload: bytes) -> None:
        event = msgspec.json.decode(payload, type=ReceivedEvent)
        self.events += 1
        if event.track_id is not None and not event.replayed:
            if event.event_type == "end":
                device.faces.pop(event.track_id, None)
            else:
                device.faces[event.track_id] = WatchedFace(event, time.monotonic())
        found = f"{event.expression} {event.confidence:.0%}" if event.expression else reason_text(event.reason)
        narrow = self.console.width < NARROW
        was = f", was {event.was}" if event.was and not narrow else ""
        late = ", replayed" if event.replayed else ""
        kind = f"{event.event_type} {event.zone}" if event.zone else event.event_type
        dwell_s = event.dwell_s if event.zone_dwell_s is None else event.zone_dwell_s
        what = f"#{event.track_id} {kind}: {found}{was}, {dwell_s:.1f} s{late}"
        self._note(
            f"{_fit(name, self._name_cells)} {printable(what)}",
            EVENT_STYLES.get(event.event_type, ""),
            clock_time(event.ts),
        )

    def _note(self, text: str, style: str, at: str | None = None) -> None:
        self._log.append(Text(f"{at or datetime.now().strftime('%H:%M:%S')}  {text}", style))

    def forget_lost(self) -> None:
        """Drop faces that have not been heard of for LOST_SECONDS."""
        limit = time.monotonic() - LOST_SECONDS
        for device in self._devices.values():
            device.faces = {id_: face for id_, face in device.faces.items() if face.heard > limit}

    def picture(self, now: str) -> Group:
        """Everything, in as many lines and columns as the terminal has."""
        width, height = self.console.size
        lines = [self._title(now, width), *self._device_lines()]
        lines += self._alert_lines()
        faces = self._face_lines(width)
        room = max(2, height - len(lines) - 3)  # two rules and the last line
        shown = min(len(faces), max(1, room * 2 // 3))
        lines += [_rule("faces", width), *faces[:shown]]
        if len(faces) > shown:
            lines[-1] = Text(f"  and {len(faces) - shown + 1} more", "dim")
        lines.append(_rule("events", width))
        rest = max(0, height - len(lines) - 1)
        lines += list(self._log)[-rest:] if rest else []
        lines += [Text("")] * (height - len(lines) - 1)
        lines.append(self._last_line())
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return Group(*lines[:height])

    @property
    def _name_cells(self) -> int:
        return DEVICE_CELLS if self.console.width >= NARROW else NARROW_CELLS

    def _offline(self) -> list[str]:
        return sorted(name for name, device in self._devices.items() if device.availability == "offline")

    def _last_line(self) -> Text:
        hint = self._forgetting.line(self._offline()) if self._forgetting and self.keys.there else ""
        return Text(f"Ctrl-C ends   {hint}".rstrip(), "dim")

    def _title(self, now: str, width: int) -> Text:
        status = Text(f"fer-edge  {self._status}", "bold yellow" if self._trouble else "bold")
        status.truncate(width - len(now) - 1, overflow="ellipsis", pad=True)
        return status.append(f" {now}")

    def _device_lines(self) -> list[Text]:
        names = sorted(self._devices, key=lambda name: (self._devices[name].availability == "offline", name))
        lines = [self._device_line(name, self._devices[name]) for name in names]
        if not lines:
            quiet = time.monotonic() >= self._quiet_at or self._others
            return [Text(self._options.silence(self._others), "yellow")] if quiet else []
        if len(lines) > DEVICE_ROWS:
            offline = sum(self._devices[name].availability == "offline" for name in names[DEVICE_ROWS - 1 :])
            gone = f", {offline} of them offline" if offline else ""
            rest = f"  and {counted(len(lines) - DEVICE_ROWS + 1, 'more device')}{gone}"
            lines[DEVICE_ROWS - 1 :] = [Text(rest, "dim")]
        return lines

    def _device_line(self, name: str, device: Device) -> Text:
        line = Text(f"{_fit(name, self._name_cells)} ")
        if device.availability == "offline":
            why = ": no power, no network, or stopped" if self.console.width >= NARROW else ""
            return line.append(f"offline since {device.changed}{why}", "bold red")
        line.append(f"{device.availability:<8}", "green" if device.online else "yellow")
        if not device.online:
            return line
        if device.camera and device.camera != "online":
            line.append(" no camera picture", "bold red")
        for part in device_parts(device):  # those that matter most first: what has no room is left out
            if line.cell_len + 2 + len(part) <= self.console.width:
                line.append(f"  {part}")
        return line

    def _present(self) -> list[tuple[str, Device]]:
        """The devices that are online: what the others left on the broker holds no more."""
        return [(name, device) for name, device in sorted(self._devices.items()) if device.online]

    def _alert_lines(self) -> list[Text]:
        on = [(name, alert) for name, device in self._present() for alert in device.alerts.values()]
        lines = [
            Text(
                f"{_fit(name, self._name_cells)} ALERT {printable(alert.name)} since {clock_time(alert.since)}",
                "bold red",
            )
            for name, alert in on
        ]
        if len(lines) > ALERT_ROWS:
            lines[ALERT_ROWS - 1 :] = [Text(f"  and {counted(len(lines) - ALERT_ROWS + 1, 'more alert')}", "bold red")]
        return lines

    def _face_lines(self, width: int) -> list[Text]:
        lines = []
        for name, device in self._present():
            lines += [self._face_line(name, face, width) for face in device.faces.values()]
            unknown = (device.faces_in_view or 0) - len(device.faces)
            if unknown > 0:  # they came before us; the next event or heartbeat names them
                lines.append(Text(f"{_fit(name, self._name_cells)} {from_before(device, unknown)}", "dim"))
        return lines or [Text("  nobody in view", "dim")]

    def _face_line(self, name: str, face: WatchedFace, width: int) -> Text:
        event = face.event
        stayed = f"{event.dwell_s + time.monotonic() - face.heard:6.0f} s"
        line = Text(f"{_fit(name, self._name_cells)} {f'#{event.track_id}':<6}")
        if event.expression is None:
            line.append(f"{reason_text(event.reason):<{LABEL_CELLS}}", "dim")
            return line.append(stayed.rjust(max(0, width - line.cell_len - 1)))
        cells = max(5, width - line.cell_len - LABEL_CELLS - 17)
        filled = round(min(1.0, max(0.0, event.confidence)) * cells)
        full, empty = ("#", ".") if self.console.options.ascii_only else ("█", "░")
        line.append(f"{printable(event.expression):<{LABEL_CELLS}}")
        line.append(full * filled, _style(event.expression)).append(empty * (cells - filled), "dim")
        return line.append(f" {event.confidence:4.0%} ").append(stayed.rjust(9))


def _style(expression: str) -> Style:
    """The colour that the previews draw it in."""
    return Style(color=css(PALETTE[expression])) if expression in PALETTE else Style()


def _fit(text: str, cells: int) -> str:
    return f"{text if len(text) <= cells else text[: cells - 1] + '~':<{cells}}"


def _rule(name: str, width: int) -> Text:
    return Text(f"-- {name} ".ljust(width, "-"), "dim")
