"""lines.py: what signals said, in words."""

from __future__ import annotations

import msgspec

from fer_edge.commands.watch.lines import event_line, summary
from fer_edge.commands.watch.received import ReceivedEvent, ReceivedState

SIGNALS = {"looks": {"on": False, "seconds": 3.24, "times": 2}, "balance": {"value": 0.312, "mean": 0.1}}


def event(kind: str, signals: object = SIGNALS) -> ReceivedEvent:
    reported = {"event_type": kind, "track_id": 3, "expression": "neutral", "confidence": 0.8, "signals": signals}
    return msgspec.json.decode(msgspec.json.encode(reported), type=ReceivedEvent)


def test_an_end_says_what_signals_said() -> None:
    assert event_line("hall", event("end")).endswith("  looks 3.2 s  balance +0.10")
    assert "looks" not in event_line("hall", event("update"))
    assert "looks" not in event_line("hall", event("end"), narrow=True)


def test_a_state_says_with_how_many_faces_each_is_on() -> None:
    state = ReceivedState(faces=2, expressions={"neutral": 2}, signals={"looks": 1, "balance": -0.2, "smiles": 0})
    assert summary(state) == "2 faces: 2 neutral; looks 1, balance -0.2"


def test_levels_are_written_as_people_write_them() -> None:
    reported = {"blinks": {"value": 12.4, "mean": 11.6}, "perclos": {"on": True, "seconds": 5.0, "mean": 0.104}}
    assert event_line("hall", event("end", signals=reported)).endswith("  perclos 5.0 s  blinks 12  perclos 10%")
    newer = {"sparkles": {"value": 0.5, "mean": 0.5}}
    assert event_line("hall", event("end", signals=newer)).endswith("  sparkles +0.50")
