"""What the screen knows of each device, and how it shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fer_edge.commands.watch.received import ReceivedAlert, ReceivedEvent, ReceivedStats, printable
from fer_edge.runtime.count_text import counted


@dataclass(slots=True)
class WatchedFace:
    """A face as its last event left it."""

    event: ReceivedEvent
    heard: float  # monotonic seconds


@dataclass(slots=True)
class Device:
    """All that is known of one device."""

    availability: str = "unknown"
    changed: str = ""  # since when, as time of day
    camera: str = ""
    faces_in_view: int | None = None
    in_zones: str = ""
    in_signals: str = ""
    expressions: dict[str, int] = field(default_factory=dict)  # what the faces in view show, as the broker keeps it
    stats: ReceivedStats | None = None
    faces: dict[int, WatchedFace] = field(default_factory=dict)  # track id -> face
    alerts: dict[str, ReceivedAlert] = field(default_factory=dict)  # those that are on

    @property
    def online(self) -> bool:
        """Only then does what is known of it hold: the broker keeps it whatever has become of the device."""
        return self.availability == "online"

    def clear(self) -> None:
        """Forget what was true while it was online."""
        self.camera, self.faces_in_view, self.in_zones, self.in_signals, self.stats = "", None, "", "", None
        self.faces.clear()
        self.alerts.clear()


def device_parts(device: Device) -> list[str]:
    """The text for a device that is online, the most important first."""
    parts = []
    if device.faces_in_view is not None:
        parts.append(counted(device.faces_in_view, "face", none="no"))
        parts += [text for text in (device.in_zones, device.in_signals) if text]
    if stats := device.stats:
        parts += [f"{stats.fps:.1f} fps", f"{stats.latency_ms[0]:.0f} ms"]
        parts += [counted(stats.queue, "event waits", "events wait")] if stats.queue else []
        parts += [f"{stats.temperature_c:.0f} °C"] if stats.temperature_c is not None else []
        parts.append(f"{stats.rss_mb:.0f} MB")
    return parts


def from_before(device: Device, unknown: int) -> str:
    """Faces of which no event was received: those of the state, minus the known others."""
    left = dict(device.expressions)
    for face in device.faces.values():
        label = face.event.expression or "none"
        left[label] = left.get(label, 0) - 1
    shown = ", ".join(f"{count} {printable(label)}" for label, count in left.items() if count > 0)
    return f"{counted(unknown, 'face')} from before" + (f": {shown}" if shown else "")
