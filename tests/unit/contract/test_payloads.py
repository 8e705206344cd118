"""The contract: what each message holds, to the digit."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract import encode, payloads
from fer_edge.records import LABELS, EventType, Reason, SignalState, SignalSummary, Summary, ZoneSummary
from fer_edge.runtime import clock
from tests.support.face_events import IDENTITY, STATS, face_event, face_state
from tests.support.samples import probabilities

CONTRACT_FIELDS = [
    "v",
    "event_type",
    "event_id",
    "seq",
    "boot_id",
    "device_id",
    "track_id",
    "ts",
    "mono_ns",
    "clock_synced",
    "replayed",
    "expression",
    "confidence",
    "probabilities",
    "previous",
    "dwell_s",
    "box",
    "pose",
    "quality",
    "reason",
    "face_count",
    "model",
]


def as_json(payload: msgspec.Struct) -> dict[str, object]:
    return dict(msgspec.json.decode(msgspec.json.encode(payload)))


def test_an_event_has_exactly_the_fields_of_the_contract() -> None:
    message = as_json(encode.event_payload(face_event(), IDENTITY))
    assert list(message) == CONTRACT_FIELDS
    assert message["v"] == payloads.CONTRACT == 1
    assert message["event_id"] == "boot-1-1"
    assert message["model"] == "expression-" + "e" * 12
    assert message["replayed"] is False
    assert isinstance(message["clock_synced"], bool)


def test_an_events_figures_are_rounded() -> None:
    message = as_json(encode.event_payload(face_event(), IDENTITY))
    assert message["confidence"] == 0.8765
    assert message["dwell_s"] == 12.346
    assert message["box"] == [0.1235, 0.2, 0.5, 0.75]
    assert message["pose"] == {"yaw_deg": 1.3, "pitch_deg": -2.0, "roll_deg": 0.0}
    assert message["quality"] == {"yaw_deg": 1.26, "height_px": 120.457, "blur": 0.3, "brightness": 0.5}
    shown = message["probabilities"]
    assert isinstance(shown, dict)
    assert tuple(shown) == LABELS
    assert shown["happiness"] == 0.8765
    assert sum(shown.values()) == pytest.approx(1, abs=5e-4)


def test_landmarks_are_there_only_when_allowed() -> None:
    points = np.linspace((0, 0), (1, 1), 68, dtype=np.float32)
    message = as_json(encode.event_payload(face_event(landmarks=points), IDENTITY))
    shown = message["landmarks"]
    assert isinstance(shown, list)
    assert len(shown) == 68
    assert shown[1] == [0.0149, 0.0149]


def test_an_abstention_has_null_and_a_reason() -> None:
    event = face_event(
        event_type=EventType.END, expression=None, probabilities=None, previous=None, reason=Reason.TURNED
    )
    message = as_json(encode.event_payload(event, IDENTITY))
    assert message["event_type"] == "end"
    assert message["expression"] is None
    assert message["previous"] is None
    assert message["probabilities"] == {}
    assert message["reason"] == "turned"


def test_an_event_has_the_zones_and_signals_that_are_configured() -> None:
    looking = SignalState(0, on=True, seconds=2.345, times=3, first_after_s=0.125)
    balance = SignalState(0, value=0.12345, known_s=2.0, sum_s=0.5)
    unknown = SignalState(0, reason=Reason.TOO_SMALL)
    signals = {"looks": looking, "balance": balance, "smiles": unknown}
    event = face_event(zones=("door", "till"), zone="door", zone_dwell_s=1.23456, signals=signals)
    message = as_json(encode.event_payload(event, IDENTITY))
    assert (message["zones"], message["zone"], message["zone_dwell_s"]) == (["door", "till"], "door", 1.235)
    shown = message["signals"]
    assert isinstance(shown, dict)
    assert (shown["looks"]["on"], shown["looks"]["seconds"], shown["looks"]["times"]) == (True, 2.35, 3)
    assert shown["balance"] == {"value": 0.123, "mean": 0.25}
    assert (shown["smiles"]["on"], shown["smiles"]["reason"]) == (None, "too_small")


def test_a_summary_is_rounded_and_has_nothing_of_too_few_people() -> None:
    many = ZoneSummary(7, 9, 1.2345, {"happiness": 3.14159}, 0.98765, 2)
    signal = SignalSummary(faces=7, lasting=5, seconds=12.345, share=0.33333, mean=None)
    summary = Summary(
        *(0, 60_000_000_000, 9, 2.3456, {"none": 1.239}, 0.12345, 2),
        zones={"door": many, "till": ZoneSummary()},
        signals={"looks": signal},
    )
    message = as_json(encode.summary_payload(summary, min_visitors=5))
    assert (message["seconds"], message["mean_dwell_s"], message["mean_faces"]) == ({"none": 1.24}, 2.35, 0.123)
    door = {"happiness": 3.14}
    assert message["zones"] == {
        "door": {
            "visitors": 7,
            "visits": 9,
            "mean_dwell_s": 1.23,
            "seconds": door,
            "mean_faces": 0.988,
            "most_faces": 2,
        },
        "till": dict.fromkeys(("visitors", "visits", "mean_dwell_s", "seconds", "mean_faces", "most_faces")),
    }
    assert message["signals"] == {"looks": {"faces": 7, "lasting": 5, "seconds": 12.35, "share": 0.3333, "mean": None}}
    alone = as_json(encode.summary_payload(Summary(0, 1, None, None, None, None, None), min_visitors=5))
    assert (alone["visitors"], alone["seconds"]) == (None, None)
    assert "zones" not in alone


def test_the_time_is_when_it_happened_in_utc() -> None:
    half_an_hour_ago = time.monotonic_ns() - 1_800_000_000_000
    shown = clock.timestamp(half_an_hour_ago)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown)
    age = (datetime.now(UTC) - datetime.fromisoformat(shown)).total_seconds()
    assert age == pytest.approx(1800, abs=2)


@given(st.lists(st.sampled_from([*LABELS, None]), max_size=12))
def test_a_state_counts_every_face_once(shown: list[str | None]) -> None:
    state = encode.state_payload(tuple(face_state(label) for label in shown))
    assert state.faces == len(shown) == sum(state.expressions.values())
    assert tuple(state.expressions) == (*LABELS, "none")
    labels = [label for label in shown if label]
    if labels:
        assert state.dominant is not None
        assert labels.count(state.dominant) == max(map(labels.count, labels))
    else:
        assert state.dominant is None


def test_info_says_what_runs() -> None:
    info = as_json(encode.info_payload(IDENTITY))
    assert info == {
        "v": 1,
        "device_id": "kitchen",
        "boot_id": "boot-1",
        "version": "0.1.0",
        "models": {
            "detector": {"id": "finder", "sha256": "d" * 64},
            "expression": {"id": "expression", "sha256": "e" * 64},
        },
        "labels": list(LABELS),
        "runtime": "ai-edge-litert 2.3.0",
        "config_schema": 1,
        "restart_required": False,
        "purpose": None,
        "medical_or_safety": False,
    }


def test_info_says_what_it_is_for() -> None:
    info = as_json(encode.info_payload(replace(IDENTITY, purpose="workplace", medical_or_safety=True)))
    assert (info["purpose"], info["medical_or_safety"]) == ("workplace", True)


def test_stats_carry_the_sinks_own_figures() -> None:
    assert as_json(encode.stats_payload(STATS, queue=4, dropped_events=2)) == {
        "v": 1,
        "fps": 14.99,
        "latency_ms": [20.0, 31.01],
        "stage_ms": {"detect": [1.23, 2.35]},
        "frames": 100,
        "dropped_frames": 3,
        "skipped_frames": 50,
        "damaged_frames": 4,
        "target_fps": 7.5,
        "rate_reason": "hot",
        "queue": 4,
        "dropped_events": 2,
        "outbox": None,
        "rss_mb": 100.0,
        "temperature_c": 51.2,
        "throttled": 0,
    }


def test_a_face_that_was_never_judged_has_no_probabilities() -> None:
    assert encode.probabilities(None) == {}
    assert encode.probabilities(probabilities(0, 1.0))["neutral"] == 1.0
