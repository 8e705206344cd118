"""Turns records into payloads: rounded, with the sender's identity and the wall-clock time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from msgspec import UNSET, UnsetType

from fer_edge.contract.payloads import (
    CONTRACT,
    AlertPayload,
    ConfigPayload,
    EventPayload,
    InfoPayload,
    ReadFace,
    ReadingsPayload,
    SignalFigures,
    SignalPayload,
    StatePayload,
    StatsPayload,
    SummaryPayload,
    ZoneFigures,
    ZonePayload,
)
from fer_edge.records import (
    LABELS,
    AlertState,
    Box,
    FaceEvent,
    FaceState,
    Floats,
    Frame,
    Identity,
    Pose,
    Quality,
    SignalState,
    SignalSummary,
    Stats,
    Summary,
    Track,
    ZoneState,
    ZoneSummary,
)
from fer_edge.runtime.clock import clock_synced, timestamp
from fer_edge.settings.overrides import Answer
from fer_edge.tracking.signals import SIGNALS
from fer_edge.tracking.signals.signal import Signal


def signals_of(signals: Mapping[str, SignalState]) -> dict[str, SignalPayload] | UnsetType:
    """A face's signals, where config enables any."""
    return {name: _signal(SIGNALS[name], state) for name, state in signals.items()} or UNSET


def _signal(signal: Signal, state: SignalState) -> SignalPayload:
    reason = state.reason and state.reason.value
    value = _round(state.value, 3) if signal.has_value else UNSET
    mean = _round(state.mean, 3) if signal.has_value else UNSET
    if signal.switch is None:
        return SignalPayload(value=value, mean=mean, reason=reason)
    return SignalPayload(
        on=state.on,
        value=value,
        mean=mean,
        reason=reason,
        seconds=round(state.seconds, 2),
        times=state.times,
        first_after_s=_round(state.first_after_s, 2),
    )


def event_payload(event: FaceEvent, identity: Identity, *, replayed: bool = False) -> EventPayload:
    """A FaceEvent as it is published. `ts` is computed from the monotonic time at which it happened."""
    optional: dict[str, Any] = {} if event.landmarks is None else {"landmarks": _rounded(event.landmarks)}
    if event.zones is not None:
        optional["zones"] = list(event.zones)
    if event.zone is not None:
        optional["zone"] = event.zone
    if event.zone_dwell_s is not None:
        optional["zone_dwell_s"] = round(event.zone_dwell_s, 3)
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
        box=_corners(event.box),
        pose=_angles(event.pose),
        quality=_measured(event.quality),
        reason=event.reason and event.reason.value,
        face_count=event.face_count,
        signals=signals_of(event.signals),
        model=identity.model,
        **optional,
    )


def _corners(box: Box) -> tuple[float, float, float, float]:
    return round(box.x0, 4), round(box.y0, 4), round(box.x1, 4), round(box.y1, 4)


def _angles(pose: Pose) -> dict[str, float]:
    return {name: round(getattr(pose, name), 1) for name in ("yaw_deg", "pitch_deg", "roll_deg")}


def _measured(quality: Quality) -> dict[str, float]:
    return {name: round(getattr(quality, name), 3) for name in ("yaw_deg", "height_px", "blur", "brightness")}


def _rounded(points: Floats) -> list[list[float]]:
    """As float64, for a float32 would show as 0.014899999983459711."""
    rounded: list[list[float]] = np.round(points.astype(np.float64), 4).tolist()
    return rounded


def state_payload(
    faces: tuple[FaceState, ...], zones: Collection[str] = (), *, signals: Sequence[str] = ()
) -> StatePayload:
    """The number of faces in view per expression; `zones`, `signals`: the names of all configured ones."""
    here = [face for face in faces if face.in_view]
    counts = _counts([face.expression for face in here])
    dominant = max(LABELS, key=counts.__getitem__)
    return StatePayload(
        v=CONTRACT,
        faces=len(here),
        expressions=counts,
        dominant=dominant if counts[dominant] else None,
        signals=_state_signals([face.track.signals for face in here], signals) if signals else UNSET,
        zones={name: sum(name in face.zones for face in here) for name in zones} if zones else UNSET,
    )


def _counts(shown: Sequence[str | None]) -> dict[str, int]:
    return {**{label: shown.count(label) for label in LABELS}, "none": shown.count(None)}


def zone_payload(zone: ZoneState) -> ZonePayload:
    """The faces in a zone now."""
    return ZonePayload(
        v=CONTRACT,
        name=zone.name,
        faces=len(zone.shown),
        state="ON" if zone.shown else "OFF",
        since=timestamp(zone.since_ns),
        clock_synced=clock_synced(),
        expressions=_counts(zone.shown),
    )


def _state_signals(each: Sequence[Mapping[str, SignalState]], names: Sequence[str]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name in names:
        states = [signals[name] for signals in each if name in signals]
        values = [state.value for state in states if state.value is not None]
        signal = SIGNALS[name]
        mean = round(sum(values) / len(values), signal.decimals) + 0.0 if values else None  # -0.0 is 0.0
        figures[name] = mean if signal.has_value else sum(bool(state.on) for state in states)
    return figures


def alert_payload(alert: AlertState) -> AlertPayload:
    """An alert that went on or off."""
    return AlertPayload(
        v=CONTRACT,
        name=alert.name,
        state="ON" if alert.on else "OFF",
        since=timestamp(alert.mono_ns),
        clock_synced=clock_synced(),
        expressions=list(alert.expressions),
        faces=alert.faces,
        signals=list(alert.signals) or UNSET,
    )


def readings_payload(tracks: Sequence[Track], frame: Frame, *, landmarks: bool) -> ReadingsPayload:
    """Those of a frame's tracks that it shows."""
    size = frame.width, frame.height
    faces = [_read_face(track, size, landmarks=landmarks) for track in tracks if not track.misses]
    taken_ns = frame.taken_ns
    return ReadingsPayload(v=CONTRACT, frame=frame.seq, ts=timestamp(taken_ns), mono_ns=taken_ns, faces=faces)


def _read_face(track: Track, size: tuple[int, int], *, landmarks: bool) -> ReadFace:
    judged = None if track.quality.reason else track.expression
    optional: dict[str, Any] = (
        {"landmarks": _rounded(np.asarray(track.landmarks.points / size, np.float32))} if landmarks else {}
    )
    return ReadFace(
        track_id=track.id,
        expression=judged.label if judged else None,
        confidence=round(judged.confidence, 4) if judged else 0.0,
        probabilities=probabilities(judged.probabilities if judged else None),
        box=_corners(track.box.normalised(*size)),
        pose=_angles(track.landmarks.pose),
        quality=_measured(track.quality),
        reason=track.quality.reason and track.quality.reason.value,
        signals=signals_of(track.signals),
        **optional,
    )


def config_payload(answer: Answer) -> ConfigPayload:
    """The result of a request to set a key; also published unasked, for every key."""
    status: Literal["ok", "refused"] = "ok" if answer.accepted else "refused"
    return ConfigPayload(v=CONTRACT, key=answer.key, value=answer.value, status=status, reason=answer.reason)


def summary_payload(summary: Summary, *, min_visitors: int) -> SummaryPayload:
    """An interval's figures."""
    seconds = summary.seconds
    return SummaryPayload(
        v=CONTRACT,
        start=timestamp(summary.start_ns),
        end=timestamp(summary.end_ns),
        clock_synced=clock_synced(),
        min_visitors=min_visitors,
        visitors=summary.visitors,
        mean_dwell_s=_round(summary.mean_dwell_s, 2),
        seconds=None if seconds is None else {label: round(value, 2) for label, value in seconds.items()},
        mean_faces=_round(summary.mean_faces, 3),
        most_faces=summary.most_faces,
        signals={name: _signal_figures(each) for name, each in summary.signals.items()} or UNSET,
        zones={name: _zone_figures(zone) for name, zone in summary.zones.items()} or UNSET,
    )


def _zone_figures(zone: ZoneSummary) -> ZoneFigures:
    return ZoneFigures(
        visitors=zone.visitors,
        visits=zone.visits,
        mean_dwell_s=_round(zone.mean_dwell_s, 2),
        seconds=None if zone.seconds is None else {label: round(value, 2) for label, value in zone.seconds.items()},
        mean_faces=_round(zone.mean_faces, 3),
        most_faces=zone.most_faces,
    )


def _signal_figures(signal: SignalSummary) -> SignalFigures:
    return SignalFigures(
        faces=signal.faces,
        lasting=signal.lasting,
        seconds=round(signal.seconds, 2),
        share=_round(signal.share, 4),
        mean=_round(signal.mean, 3),
    )


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def info_payload(identity: Identity, *, restart_required: bool = False) -> InfoPayload:
    """What runs on this device."""
    return InfoPayload(
        v=CONTRACT,
        device_id=identity.device_id,
        boot_id=identity.boot_id,
        version=identity.version,
        models=identity.models,
        labels=LABELS,
        runtime=identity.runtime,
        config_schema=CONTRACT,
        restart_required=restart_required,
        purpose=identity.purpose,
        medical_or_safety=identity.medical_or_safety,
    )


def stats_payload(stats: Stats, *, queue: int, dropped_events: int, outbox: str | None = None) -> StatsPayload:
    """The daemon's figures, with those of the sink that sends them."""
    return StatsPayload(
        v=CONTRACT,
        fps=round(stats.fps, 2),
        latency_ms=_span(stats.latency_ms),
        stage_ms={name: _span(span) for name, span in stats.stage_ms.items()},
        frames=stats.frames,
        dropped_frames=stats.dropped_frames,
        skipped_frames=stats.skipped_frames,
        damaged_frames=stats.damaged_frames,
        target_fps=_round(stats.target_fps, 2),
        rate_reason=stats.rate_reason and stats.rate_reason.value,
        queue=queue,
        dropped_events=dropped_events,
        outbox=outbox,
        rss_mb=round(stats.rss_mb, 1),
        temperature_c=stats.temperature_c,
        throttled=stats.throttled,
    )


def _span(span: tuple[float, float]) -> tuple[float, float]:
    return round(span[0], 2), round(span[1], 2)


def probabilities(values: Floats | None) -> dict[str, float]:
    """Label -> probability of f32[8], rounded to four digits; empty where a face was never classified."""
    return {} if values is None else {label: round(float(p), 4) for label, p in zip(LABELS, values, strict=True)}
