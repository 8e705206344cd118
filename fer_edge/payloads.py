"""What leaves the machine: the payload types of the MQTT contract (version 1) and how records become them.

Both sinks use these types: a JSON line and an MQTT message of one event say the same.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fer_edge.records import LABELS, FaceEvent, FaceState, Stats

CONTRACT = 1
TIMESYNC = Path("/run/systemd/timesync/synchronized")


class ModelId(msgspec.Struct, frozen=True, kw_only=True):
    """Which model runs."""

    id: str  # its card's name
    sha256: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends: the same for a whole run."""

    device_id: str
    boot_id: str  # new at each start of the daemon; (boot_id, seq) names an event
    version: str
    models: dict[str, ModelId]  # by role
    runtime: str  # the TFLite runtime and its version

    @property
    def model(self) -> str:
        """Short name of the expression model, as events carry it."""
        model = self.models["expression"]
        return f"{model.id}-{model.sha256[:12]}"


class EventPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `event`."""

    v: int
    event_type: str
    event_id: str
    seq: int
    boot_id: str
    device_id: str
    track_id: int
    ts: str  # UTC, RFC 3339
    mono_ns: int
    clock_synced: bool
    replayed: bool
    expression: str | None
    confidence: float
    probabilities: dict[str, float]
    previous: str | None
    dwell_s: float
    box: tuple[float, float, float, float]
    landmarks: list[list[float]] | msgspec.UnsetType = msgspec.UNSET
    pose: dict[str, float]
    quality: dict[str, float]
    reason: str | None
    face_count: int
    model: str


class StatePayload(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `state`."""

    v: int
    faces: int
    expressions: dict[str, int]  # every label -> faces that show it; "none": faces without one
    dominant: str | None  # the most frequent label; None: nobody, or nobody judged


class InfoPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `info`."""

    v: int
    device_id: str
    boot_id: str
    version: str
    models: dict[str, ModelId]
    labels: tuple[str, ...]
    runtime: str
    config_schema: int
    restart_required: bool


class StatsPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `stats`."""

    v: int
    fps: float
    stage_ms: dict[str, tuple[float, float]]
    frames: int
    dropped_frames: int
    queue: int
    dropped_events: int
    rss_mb: float
    temperature_c: float | None
    throttled: int | None


def event_payload(event: FaceEvent, identity: Identity, *, replayed: bool = False) -> EventPayload:
    """A FaceEvent as it is published. `ts` is reckoned from the monotonic time at which it happened."""
    quality, pose, box = event.quality, event.pose, event.box
    optional: dict[str, Any] = {}
    if event.landmarks is not None:  # as float64, for a float32 would show as 0.014899999983459711
        optional["landmarks"] = np.round(event.landmarks.astype(np.float64), 4).tolist()
    return EventPayload(
        v=CONTRACT,
        event_type=event.event_type.value,
        event_id=f"{identity.boot_id}-{event.seq}",
        seq=event.seq,
        boot_id=identity.boot_id,
        device_id=identity.device_id,
        track_id=event.track_id,
        ts=timestamp(event.mono_ns),
        mono_ns=event.mono_ns,
        clock_synced=clock_synced(),
        replayed=replayed,
        expression=event.expression,
        confidence=round(event.confidence, 4),
        probabilities=probabilities(event.probabilities),
        previous=event.previous,
        dwell_s=round(event.dwell_s, 3),
        box=(round(box.x0, 4), round(box.y0, 4), round(box.x1, 4), round(box.y1, 4)),
        pose={name: round(getattr(pose, name), 1) for name in ("yaw_deg", "pitch_deg", "roll_deg")},
        quality={name: round(getattr(quality, name), 3) for name in ("yaw_deg", "height_px", "blur", "brightness")},
        reason=event.reason and event.reason.value,
        face_count=event.face_count,
        model=identity.model,
        **optional,
    )


def state_payload(faces: tuple[FaceState, ...]) -> StatePayload:
    """How many faces show which expression now."""
    shown = [face.expression for face in faces]
    counts = {label: shown.count(label) for label in LABELS}
    dominant = max(counts, key=counts.__getitem__)
    return StatePayload(
        v=CONTRACT,
        faces=len(faces),
        expressions={**counts, "none": shown.count(None)},
        dominant=dominant if counts[dominant] else None,
    )


def info_payload(identity: Identity) -> InfoPayload:
    """What runs here."""
    return InfoPayload(
        v=CONTRACT,
        device_id=identity.device_id,
        boot_id=identity.boot_id,
        version=identity.version,
        models=identity.models,
        labels=LABELS,
        runtime=identity.runtime,
        config_schema=CONTRACT,
        restart_required=False,
    )


def stats_payload(stats: Stats, *, queue: int, dropped_events: int) -> StatsPayload:
    """The daemon's figures, with those of the sink that sends them."""
    return StatsPayload(
        v=CONTRACT,
        fps=round(stats.fps, 2),
        stage_ms={name: (round(p50, 2), round(p95, 2)) for name, (p50, p95) in stats.stage_ms.items()},
        frames=stats.frames,
        dropped_frames=stats.dropped_frames,
        queue=queue,
        dropped_events=dropped_events,
        rss_mb=round(stats.rss_mb, 1),
        temperature_c=stats.temperature_c,
        throttled=stats.throttled,
    )


def probabilities(values: np.ndarray[Any, np.dtype[np.float32]] | None) -> dict[str, float]:
    """Label -> probability, rounded to four digits; empty where a face was never judged."""
    return {} if values is None else {label: round(float(p), 4) for label, p in zip(LABELS, values, strict=True)}


def timestamp(mono_ns: int) -> str:
    """Wall-clock time, UTC by RFC 3339 with milliseconds, of a moment of the monotonic clock."""
    ago_ns = max(0, time.monotonic_ns() - mono_ns)  # files may be read faster than they were filmed: not the future
    wall_ns = time.time_ns() - ago_ns
    moment = datetime.fromtimestamp(wall_ns / 1e9, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only its size and zeroed `modes` matter for reading."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 64))


def clock_synced() -> bool:
    """Whether the wall clock is synchronised: the kernel says so (adjtimex(2) returns TIME_ERROR otherwise), or
    systemd-timesyncd does, in case the kernel may not be asked."""
    time_error = 5
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex())))
    except (OSError, AttributeError):  # no glibc
        state = -1
    return state not in (-1, time_error) or TIMESYNC.exists()
