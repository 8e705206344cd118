"""The report's figures and CSV of signals: those that were known, and no others."""

from __future__ import annotations

from fer_edge.commands.report.page import figure_rows, minutes_csv
from fer_edge.commands.report.summary import ReportData
from fer_edge.tracking.minutes import Minute, SignalMinute

LOOKS = SignalMinute(faces=3, lasting=1, on_s=30.0, known_s=60.0)
BALANCE = SignalMinute(known_s=50.0, sum_s=-12.5)
MINUTES = (
    Minute(begin_s=0, watched_s=60, visitors=4, signals={"looks": LOOKS, "balance": BALANCE}),
    Minute(begin_s=60),
)


def rows(minutes: tuple[Minute, ...]) -> dict[str, str]:
    reported = figure_rows([ReportData(title="", name="", begin_s=0, end_s=120, minutes=minutes)])
    return {name: value for name, value, *_ in reported}


def test_who_looked_and_how_the_mix_leaned() -> None:
    found = rows(MINUTES)
    assert found["looks at the camera: faces"] == "3, 75%"
    assert found["looks at the camera: for long, added up"] == "1, 25%"
    assert found["looks at the camera: face time"] == "30 s, 50%"
    assert found["balance of expressions, mean"] == "-0.25"
    assert not [name for name in rows((Minute(begin_s=0),)) if "looks" in name or "balance" in name]


def test_the_table_has_columns_of_what_was_known() -> None:
    head, first, second = minutes_csv(MINUTES).splitlines()
    columns = dict(zip(head.split(","), zip(first.split(","), second.split(","), strict=True), strict=True))
    assert columns["looks_faces"] == ("3", "0")
    assert columns["looks_on_s"] == ("30.0", "0.0")
    assert columns["balance_sum_s"] == ("-12.5", "0.0")
    assert "smiles_faces" not in columns
    assert "looks" not in minutes_csv(MINUTES[1:])
