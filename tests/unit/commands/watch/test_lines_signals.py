"""lines.py: what signals said, in words."""

from __future__ import annotations

import msgspec

from fer_edge.commands.watch.lines import event_line, summary
from fer_edge.commands.watch.received import ReceivedEvent, ReceivedState

SIGNALS = {"looks": {"on": False, "seconds": 3.24, "times": 2}, "balance": {"value": 0.312, "mean": 0.1}}


def event(kind: str) -> ReceivedEvent:
    told = {"event_type": kind, "track_id": 3, "expression": "neutral", "confidence": 0.8, "signals": SIGNALS}
    return msgspec.json.decode(msgspec.json.encode(told), type=ReceivedEvent)


def test_an_end_says_what_signals_said() -> None:
    assert event_line("hall", event("end")).endswith("  looks 3.2 s  balance +0.10")
    assert "looks" not in event_line("hall", event("update"))
    assert "looks" not in event_line("hall", event("end"), narrow=True)


def test_a_state_says_with_how_many_faces_each_is_on() -> None:
    state = ReceivedState(faces=2, expressions={"neutral": 2}, signals={"looks": 1, "balance": -0.2, "smiles": 0})
    assert summary(state) == "2 faces: 2 neutral; looks 1, balance -0.2"
