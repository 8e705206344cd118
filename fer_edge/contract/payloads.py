"""What leaves the machine: the payload types of the MQTT contract (version 1).

All sinks use these types: a JSON line and an MQTT message of one event are identical. `encode.py` makes them from
records; their descriptions become the JSON Schema and the page in docs (`topics.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fer_edge.records import ModelId

CONTRACT = 1

Version = Annotated[int, Meta(description="version of the contract")]
Time = Annotated[str, Meta(description="when: UTC, RFC 3339, milliseconds")]
Share = Annotated[float, Meta(ge=0, le=1)]
Corners = Annotated[
    tuple[Share, Share, Share, Share],
    Meta(description="x0, y0, x1, y1 of the face, forehead to chin, as fractions of the frame"),
]
Probabilities = Annotated[
    dict[str, float],
    Meta(description="every expression's smoothed probability; empty where the face could not be judged"),
]
Angles = Annotated[
    dict[str, float],
    Meta(description="yaw_deg (+: nose to the right of the picture), pitch_deg (+: down), roll_deg (+: clockwise)"),
]
Points = Annotated[
    list[list[float]],
    Meta(
        description="68 x [x, y], fractions of the frame, beyond 0..1 where the face is cut off; with privacy.landmarks"
    ),
]
Measured = Annotated[
    dict[str, float],
    Meta(
        description="yaw_deg, height_px (eyebrows to chin), blur 0..1, brightness 0..1; "
        "the last two as of the last judgement"
    ),
]
Reason = Annotated[
    str | None,
    Meta(description="why there is no expression: too_small, turned, blurred, dark, bright, or uncertain"),
]
Span = Annotated[tuple[float, float], Meta(description="p50 and p95, ms")]


class SignalPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signal of a face: one that is on or off, or a level. What is not there does not apply to it."""

    on: Annotated[bool | None, Meta(description="null: not known, see reason")] | msgspec.UnsetType = msgspec.UNSET
    value: Annotated[float | None, Meta(description="of a level; null: not known")] | msgspec.UnsetType = msgspec.UNSET
    reason: Annotated[str | None, Meta(description="why nothing is known now, as of a face; not there: it is")] = None
    seconds: Annotated[float, Meta(description="it was on since the face came")] | msgspec.UnsetType = msgspec.UNSET
    times: Annotated[int, Meta(description="it went on")] | msgspec.UnsetType = msgspec.UNSET
    first_after_s: (
        Annotated[float | None, Meta(description="since the face came, when it went on first; null: never yet")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    mean: (
        Annotated[float | None, Meta(description="of a level since the face came, while it was known")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


FaceSignals = Annotated[
    dict[str, SignalPayload], Meta(description="by name; where config switches any on (docs/signals.md)")
]


class EventPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a face: one start, any number of updates, exactly one end; in between it enters and leaves
    zones, and every enter is followed by exactly one leave."""

    v: Version
    event_type: Annotated[
        Literal["start", "update", "enter", "leave", "end"],
        Meta(
            description="a face is here; its expression changed, or a heartbeat; it entered or left a zone (only where "
            "section `zones` has any); it is gone"
        ),
    ]
    event_id: Annotated[str, Meta(description="unique: `<boot_id>-<seq>`")]
    seq: Annotated[int, Meta(description="counts the events of a run from 1 without gaps")]
    boot_id: Annotated[
        str,
        Meta(description="new at each start of the daemon; deduplicate on (boot_id, seq): QoS 1 may deliver twice"),
    ]
    device_id: Annotated[str, Meta(description="who sends")]
    track_id: Annotated[
        int, Meta(description="the face, unique within a run; no person: who leaves and returns gets a new one")
    ]
    ts: Time
    mono_ns: Annotated[int, Meta(description="the same by the device's monotonic clock, ns")]
    clock_synced: Annotated[
        bool, Meta(description="whether the wall clock was synchronised (NTP) then; if not, ts may be off")
    ]
    replayed: Annotated[bool, Meta(description="it is sent more than 5 s after it happened: the broker was away")]
    expression: Annotated[str | None, Meta(description="the committed expression; null: none, see reason")]
    confidence: Annotated[
        Share, Meta(description="its smoothed probability; without an expression that of the most likely one, or 0")
    ]
    probabilities: Probabilities
    previous: Annotated[str | None, Meta(description="the expression before this event")]
    dwell_s: Annotated[float, Meta(description="from when the face came until it was last seen, seconds")]
    box: Corners
    landmarks: Points | msgspec.UnsetType = msgspec.UNSET
    pose: Angles
    quality: Measured
    reason: Reason
    face_count: Annotated[int, Meta(description="faces in view when this step was done")]
    zones: (
        Annotated[list[str], Meta(description="the zones that it is in when this step was done; with section zones")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    zone: (
        Annotated[str, Meta(description="the zone that was entered or left; of enter and leave")] | msgspec.UnsetType
    ) = msgspec.UNSET
    zone_dwell_s: (
        Annotated[float, Meta(description="how long it was in that zone, seconds; of leave")] | msgspec.UnsetType
    ) = msgspec.UNSET
    signals: FaceSignals | msgspec.UnsetType = msgspec.UNSET
    model: Annotated[str, Meta(description="which expression model judged")]


class StatePayload(msgspec.Struct, frozen=True, kw_only=True):
    """How many faces show which expression now."""

    v: Version
    faces: Annotated[int, Meta(description="faces in view")]
    expressions: Annotated[dict[str, int], Meta(description="each label, and none: how many faces show it")]
    dominant: Annotated[str | None, Meta(description="the most frequent label; null: nobody, or nobody classified")]
    signals: (
        Annotated[
            dict[str, float | None],
            Meta(
                description="where config switches any on: faces in view with which it is on; of a level the mean over "
                "them, in steps of 0.1, null where nobody's is known"
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    zones: (
        Annotated[dict[str, int], Meta(description="each zone: faces in view within it; with section zones")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class ZonePayload(msgspec.Struct, frozen=True, kw_only=True):
    """How many faces are in a zone, and which expressions they show."""

    v: Version
    name: Annotated[str, Meta(description="its key in section zones")]
    faces: Annotated[int, Meta(description="faces in view within it")]
    state: Annotated[Literal["ON", "OFF"], Meta(description="whether there is any")]
    since: Annotated[str, Meta(description="since when there is, or is not: UTC, RFC 3339, milliseconds")]
    clock_synced: Annotated[bool, Meta(description="whether the wall clock was synchronised; if not, since may be off")]
    expressions: Annotated[dict[str, int], Meta(description="each label, and none: how many of them show it")]


class CameraPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the camera delivers pictures, and why not."""

    v: Version
    state: Annotated[
        Literal["online", "away", "paused"], Meta(description="paused: closed on purpose (`camera.paused`)")
    ]
    reason: Annotated[str | None, Meta(description="why there is no picture; it is tried again by itself")]


class AlertPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a rule of section `alerts` holds."""

    v: Version
    name: Annotated[str, Meta(description="its key in section alerts")]
    state: Literal["ON", "OFF"]
    since: Time
    clock_synced: Annotated[bool, Meta(description="whether the wall clock was synchronised; if not, since may be off")]
    expressions: Annotated[list[str], Meta(description="of the faces that hold it on")]
    faces: Annotated[int, Meta(description="how many these are")]
    signals: (
        Annotated[list[str], Meta(description="of the faces that hold it on; where the rule has any")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class ReadFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face of a frame."""

    track_id: int
    expression: Annotated[str | None, Meta(description="the most likely one; null: not judged, see reason")]
    confidence: Share
    probabilities: Probabilities
    box: Corners
    landmarks: Points | msgspec.UnsetType = msgspec.UNSET
    pose: Angles
    quality: Measured
    reason: Reason
    signals: FaceSignals | msgspec.UnsetType = msgspec.UNSET


class ReadingsPayload(msgspec.Struct, frozen=True, kw_only=True):
    """The faces of one frame, those that have not started yet too."""

    v: Version
    frame: Annotated[int, Meta(description="number of the frame in this run")]
    ts: Time
    mono_ns: int
    faces: list[ReadFace]


class SignalFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A signal over many faces."""

    faces: Annotated[int, Meta(description="with which it was on, each counted when it first was; 0 of a level")]
    lasting: Annotated[int, Meta(description="with which it was on for lasting_seconds, added up; 0 of a level")]
    seconds: Annotated[float, Meta(description="face-seconds in which it was on; 0 of a level")]
    share: Annotated[float | None, Meta(description="of the face-seconds in which it was known")]
    mean: Annotated[float | None, Meta(description="of a level; 0 of others")]


class ZoneFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The same within a zone. All null where fewer than min_visitors faces came into it."""

    visitors: Annotated[int | None, Meta(description="faces that entered it, each once")]
    visits: Annotated[int | None, Meta(description="how often they did")]
    mean_dwell_s: Annotated[
        float | None, Meta(description="of the visits that ended, seconds; of min_visitors and more")
    ]
    seconds: Annotated[dict[str, float] | None, Meta(description="each label, and none: face-seconds")]
    mean_faces: float | None
    most_faces: int | None


class SummaryPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What many faces did together. Figures are null where there were fewer visitors than min_visitors."""

    v: Version
    start: Time
    end: Time
    clock_synced: bool
    min_visitors: Annotated[int, Meta(description="summary.min_visitors")]
    visitors: Annotated[int | None, Meta(description="faces that came in the interval")]
    mean_dwell_s: Annotated[
        float | None,
        Meta(description="how long those that left in it had stayed, seconds; of min_visitors and more"),
    ]
    seconds: Annotated[dict[str, float] | None, Meta(description="each label, and none: face-seconds")]
    mean_faces: Annotated[float | None, Meta(description="in view, over the interval")]
    most_faces: int | None
    signals: (
        Annotated[dict[str, SignalFigures], Meta(description="by name; those that were known of a face")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    zones: Annotated[dict[str, ZoneFigures], Meta(description="by name; with section zones")] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class InfoPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What runs here."""

    v: Version
    device_id: str
    boot_id: str
    version: Annotated[str, Meta(description="of fer-edge")]
    models: Annotated[dict[str, ModelId], Meta(description="by role: detector, landmarks, expression")]
    labels: tuple[str, ...]
    runtime: Annotated[str, Meta(description="the TFLite runtime")]
    config_schema: Annotated[int, Meta(description="version of config.yaml's schema")]
    restart_required: Annotated[bool, Meta(description="config.yaml was reloaded and has changes that need a restart")]
    purpose: Annotated[str | None, Meta(description="what it is for (`privacy.purpose`); null: not declared")] = None
    medical_or_safety: Annotated[
        bool, Meta(description="declared as the reason why it is allowed (`privacy.medical_or_safety`)")
    ] = False


class StatsPayload(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon fares, over stats.interval_seconds."""

    v: Version
    fps: Annotated[float, Meta(description="finished steps per second")]
    latency_ms: Annotated[
        Span, Meta(description="from the exposure of a frame to the end of its step: p50 and p95, ms")
    ]
    stage_ms: Annotated[dict[str, Span], Meta(description="each stage: p50 and p95, ms")]
    frames: Annotated[int, Meta(description="steps since the start")]
    dropped_frames: Annotated[int, Meta(description="not looked at for want of time, since the start")]
    skipped_frames: Annotated[int, Meta(description="not looked at on purpose (`rate_reason`), since the start")] = 0
    damaged_frames: Annotated[
        int, Meta(description="of a stream or film: not decoded because they came damaged, since the start")
    ] = 0
    target_fps: Annotated[
        float | None, Meta(description="steps per second that are aimed at now; null where the source is a recording")
    ] = None
    rate_reason: Annotated[
        str | None,
        Meta(
            description="why these are fewer than `camera.fps`: hot, under_voltage, throttled, soft_limit or idle; "
            "null: they are not"
        ),
    ] = None
    queue: Annotated[int, Meta(description="events that wait for the broker")]
    dropped_events: Annotated[
        int, Meta(description="events lost since the start: too many waited, or the broker refused them")
    ]
    outbox: Annotated[
        str | None,
        Meta(
            description="what is wrong with waiting events: in memory only, or damaged and set aside; null: all is well"
        ),
    ]
    rss_mb: Annotated[float, Meta(description="memory of the process, 10^6 bytes")]
    temperature_c: Annotated[float | None, Meta(description="of the SoC; null elsewhere")]
    throttled: Annotated[int | None, Meta(description="the Pi firmware's bits; null elsewhere")]


class ConfigPayload(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `set/<section>/<key>`, and the value in force."""

    v: Version
    key: Annotated[str, Meta(description="section.key")]
    value: Annotated[Any, Meta(description="in force; null where the key is unknown")]
    status: Literal["ok", "refused"]
    reason: Annotated[str | None, Meta(description="why it was refused, or a warning")]


class RequestPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What `request/<operation>` may carry; it may be empty."""

    transaction: Annotated[str | int | None, Meta(description="comes back in the response")] = None


class ResponsePayload(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `request/<operation>`."""

    v: Version
    operation: str
    status: Literal["ok", "error"]
    error: str | None
    transaction: str | int | None
    result: Annotated[
        Any, Meta(description="ping: the daemon's time; reload: changed keys and keys that need a restart")
    ]
