"""Each signal goes the whole way: what is defined in one place is told in all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from fer_edge.commands.analyze.rows import columns_of
from fer_edge.commands.report.page import figure_rows, minutes_csv
from fer_edge.commands.report.summary import ReportData
from fer_edge.config import Config, Models, Summary
from fer_edge.contract import encode
from fer_edge.records import SignalState
from fer_edge.sinks.mqtt.entities import entities_of
from fer_edge.tracking.minutes import Minute, SignalMinute
from fer_edge.tracking.signals import SIGNALS, enabled_signals, signal_words
from tests.support.face_events import IDENTITY, face_event, face_state
from tests.support.faces_over_time import EVERY_SIGNAL
from tests.support.paths import ROOT

ALL = structs.replace(EVERY_SIGNAL, models=Models(intensity="intensity"), summary=Summary(interval_seconds=60))


def state_of(name: str) -> SignalState:
    """On, or a level, for three of four seconds."""
    level = SIGNALS[name].has_value
    return SignalState(0, on=None if level else True, value=0.5 if level else None, seconds=3, known_s=4, times=1)


def test_all_can_be_enabled_and_none_is_by_itself() -> None:
    assert [signal.name for signal in enabled_signals(ALL)] == list(SIGNALS)
    assert enabled_signals(Config()) == ()


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_told_in_every_place(name: str) -> None:
    states = {name: state_of(name)}
    event = encode.event_payload(face_event(signals=states), IDENTITY)
    assert name in (event.signals or {})
    state = face_state("neutral")
    face = replace(state, track=replace(state.track, signals=states))
    assert name in (encode.state_payload((face,), signals=[name]).signals or {})
    assert [entity.key for entity in entities_of("fer-edge/x", ALL, ()) if entity.key == f"signal.{name}"]
    assert name in columns_of(ALL)
    (words,) = signal_words(states)
    assert words.startswith(SIGNALS[name].words)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_counted_in_summaries_minutes_and_the_report(name: str) -> None:
    minutes = {name: SignalMinute(faces=3, on_s=30, known_s=60, sum_s=30)}
    minute = Minute(begin_s=0, watched_s=60, visitors=4, signals=minutes)
    story = ReportData(title="", name="", begin_s=0, end_s=60, minutes=(minute,))
    assert [row for row in figure_rows([story]) if SIGNALS[name].words in row[0]]
    assert f"{name}_" in minutes_csv([minute]).splitlines()[0]


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_described_and_its_accuracy_given(name: str) -> None:
    page = (ROOT / "docs" / "signals.md").read_text()
    table, _, rest = page.partition("```yaml")
    assert f"`{name}`" in table
    headings = [line for line in rest.splitlines() if line.startswith("## ")]
    assert any(name in heading for heading in headings)
