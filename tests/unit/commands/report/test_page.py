"""fer_edge.commands.report: figures by hand, and pages that say what they should."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec import structs

from fer_edge.commands.report.page import minutes_csv, page, write_report
from fer_edge.commands.report.summary import MOST_BARS, ReportData, Segment, bars, figures, visits
from fer_edge.config import Models
from fer_edge.errors import ReportError
from fer_edge.records import LABELS
from fer_edge.runtime.time_text import clock_text, span_text
from fer_edge.tracking.minutes import EventRow, Minute, ZoneMinute
from fer_edge.vision.model_card import models_folder

DAY = 86_400


def told(
    at_s: float, kind: str, expression: str | None = "neutral", *, track: int = 1, dwell_s: float = 0.0
) -> EventRow:
    return EventRow(at_s, "run", track, kind, expression, None if expression else "turned", dwell_s)


def story(minutes: list[Minute] | None = None, events: list[EventRow] | None = None, **more: Any) -> ReportData:
    fields: dict[str, Any] = {"title": "A hall", "name": "this period", "begin_s": 0.0, "end_s": 600.0, "wall": False}
    return ReportData(minutes=minutes or [], visits=visits(events or []), **(fields | more))


MINUTES = [
    Minute(
        begin_s=60,
        watched_s=60.0,
        visitors=2,
        left=2,
        dwell_s=40.0,
        most_faces=2,
        shown_s={"neutral": 30.0, "happiness": 10.0, "none": 10.0},
        abstained_s={"turned": 8.0, "uncertain": 2.0},
        heat_s={20: 50.0},
    ),
    Minute(begin_s=120, watched_s=40.0, visitors=1, most_faces=1, shown_s={"neutral": 20.0}, heat_s={21: 20.0}),
]
EVENTS = [
    told(62.0, "start", dwell_s=0.5),
    told(70.0, "update", "happiness", dwell_s=8.5),
    told(75.0, "update", "happiness", dwell_s=13.5),  # a heartbeat
    told(80.0, "start", None, track=2),
    told(83.0, "end", "happiness", dwell_s=20.0),
    told(130.0, "update", None, track=2, dwell_s=50.0),
]


def test_visits_by_hand() -> None:
    first, second = visits(EVENTS)
    assert (first.name, first.ended, second.ended) == ("#1", True, False)
    assert first.segments == (
        Segment(61.5, 70.0, "neutral", None),
        Segment(70.0, 81.5, "happiness", None),  # seen last 20 s after it came; the end is told later
    )
    assert second.segments == (Segment(80.0, 130.0, None, "turned"),)
    assert first.dwell_s == 20.0


def test_a_face_of_before_the_period() -> None:
    [one] = visits([told(1010.0, "end", "fear", dwell_s=300.0)], begin_s=1000.0)
    assert (one.segments, one.dwell_s) == ((Segment(1000.0, 1010.0, "fear", None),), 300.0)
    [one] = visits([told(1010.0, "update", "fear", dwell_s=300.0), told(1020.0, "end", "fear", dwell_s=308.0)])
    assert (one.segments, one.dwell_s) == ((Segment(1010.0, 1020.0, "fear", None),), 308.0)
    assert figures(story(events=[told(1010.0, "end", "fear", dwell_s=300.0)])).median_dwell_s == 300.0


def test_a_face_that_is_still_there() -> None:
    events = [told(1.0, "start", track=1), EventRow(20.0, "next run", 1, "start", "fear", None, 0.5)]
    before, now = visits(events, end_s=31.0)
    assert (before.end_s, before.ended) == (1.0, False), "the run that ended in between told no end"
    assert (now.begin_s, now.end_s, now.dwell_s, now.ended) == (19.5, 31.0, 11.5, False)


def test_ids_of_two_runs_are_two_faces() -> None:
    two = visits([told(1.0, "start"), EventRow(5.0, "other run", 1, "start", "fear", None, 0.0)])
    assert [visit.segments[0].expression for visit in two] == ["neutral", "fear"]


def test_figures_by_hand() -> None:
    one = figures(story(MINUTES, EVENTS))
    assert (one.visitors, one.most_faces, one.watched_s, one.faces_s) == (3, 2, 100.0, 70.0)
    assert (one.mean_dwell_s, one.median_dwell_s) == (20.0, 20.0)
    assert one.mean_faces == pytest.approx(0.7)
    assert one.judged_share == pytest.approx(60 / 70)
    assert one.shares["neutral"] == pytest.approx(50 / 60)
    assert sum(one.shares.values()) == pytest.approx(1.0)
    assert list(one.abstained) == ["turned", "uncertain"]
    assert one.abstained["turned"] == pytest.approx(8 / 70)


def test_figures_of_nothing() -> None:
    one = figures(story())
    assert (one.mean_dwell_s, one.mean_faces, one.judged_share) == (None, None, None)
    assert set(one.shares.values()) == {0.0}


def test_bars_add_up_and_show_gaps() -> None:
    step_s, steps = bars(story(MINUTES, end_s=301.0))
    assert step_s == 60
    assert [(step.begin_s, step.watched_s, step.visitors) for step in steps] == [
        (0, 0.0, 0),
        (60, 60.0, 2),
        (120, 40.0, 1),
        (180, 0.0, 0),
        (240, 0.0, 0),
        (300, 0.0, 0),
    ]
    assert bars(story(end_s=30 * DAY))[0] == DAY
    assert len(bars(story(end_s=20_000 * DAY))[1]) <= MOST_BARS + 1


def test_a_short_film_has_short_bars_and_its_last_one_too() -> None:
    seconds = [Minute(begin_s=second, watched_s=1.0) for second in range(4)]
    step_s, steps = bars(story(seconds, end_s=3.4, minute_s=1))
    assert (step_s, [step.begin_s for step in steps]) == (1, [0, 1, 2, 3])
    assert bars(story(end_s=91.0, minute_s=1))[0] == 5
    assert bars(story(end_s=3.4, minute_s=60))[0] == 60, "never shorter than what is known"


def test_words_beside_charts() -> None:
    html = page([story(MINUTES, EVENTS)], Models())
    assert "share of the judged time per expression. this period: neutral 83%, happiness 17%." in html
    assert "none (turned away) 50 s" in html, "the table says why there is no expression"
    lines = images(page([story(MINUTES, EVENTS, end_s=200.0)], Models()))[3]
    assert ">turned away<" in lines, "and so does the chart, where there is room"
    assert "Hatched: nobody watched." in html
    whole = page([story([MINUTES[0], Minute(begin_s=0, watched_s=60.0)], EVENTS, end_s=120.0)], Models())
    assert "Hatched" not in whole


def test_days_begin_at_midnight_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # +05:30
    time.tzset()
    try:
        begin_s = datetime(2026, 11, 1).timestamp()
        _, steps = bars(story(begin_s=begin_s + 3600, end_s=begin_s + 30 * DAY, wall=True))
        assert steps[0].begin_s == begin_s
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (35, "35 s"),
        (130, "2 min"),
        (4800, "80 min"),
        (7500, "2 h 5 min"),
        (10_800, "3 h"),
        (260_000, "3.0 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_times_of_a_film() -> None:
    assert clock_text(3725.9, wall=False) == "1:02:05"


def images(html: str) -> list[str]:
    """The SVGs of a page, each of which must be well-formed."""
    found = [base64.b64decode(data).decode() for data in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)]
    for svg in found:
        ElementTree.fromstring(svg)
    return found


def test_a_page_tells_it_all_by_itself() -> None:
    html = page([story(MINUTES, EVENTS, notes=["3 frames were damaged & skipped."])], Models())
    detector = json.loads((models_folder() / f"{Models().detector}.json").read_text())
    shares, came, view, lines, heat = images(html)
    assert "happiness" in shares
    assert "faces per minute" in came
    assert "faces in view, mean" in view
    assert "happiness" in view
    assert "#2" in lines
    assert "face-seconds" in heat
    for text in (
        "A hall",
        "<dt>faces that came</dt><dd>3</dd>",
        "turned away",
        "11.4 %",
        "damaged &amp; skipped",
        f"AP at IoU 0.5 {detector['metrics']['int8']['ap']:.2f}",
    ):
        assert text in html, text
    assert all(label in html for label in LABELS)
    assert not re.search(r'(src|href)="(?!data:)', html), "nothing comes from elsewhere"
    assert "<script" not in html
    assert html.count("<img") == html.count('alt="')


def test_two_periods_beside_each_other() -> None:
    other = story([MINUTES[1]], name="compared with")
    html = page([story(MINUTES, EVENTS), other], Models())
    assert ">compared with</th>" in html
    assert "(compared with)" in images(html)[0]


def test_a_page_of_nobody() -> None:
    html = page([story([Minute(begin_s=0, watched_s=60.0)])], Models())
    assert "Nobody was seen." in html
    assert images(html) == []


def test_a_title_cannot_bring_markup() -> None:
    assert "<b>" not in page([story(title="<b>hall</b>")], Models())


def test_minutes_as_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(minutes_csv(MINUTES, wall=False))))
    assert rows[0]["begin"] == "0:01:00"
    assert (rows[0]["neutral_s"], rows[0]["turned_s"], rows[1]["turned_s"], rows[0]["visitors"]) == (
        "30.0",
        "8.0",
        "0.0",
        "2",
    )


def test_csv_has_thousandths_not_the_last_bits_of_sums() -> None:
    minute = Minute(begin_s=0, watched_s=0.1 + 0.2, shown_s={"neutral": 0.1 + 0.7})
    (row,) = csv.DictReader(io.StringIO(minutes_csv([minute], wall=False)))
    assert (row["watched_s"], row["neutral_s"]) == ("0.3", "0.8")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ReportError, match=r"a report needs jinja2: pip install 'fer-edge\[report\]'"):
        page([story()], Models())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"file/out\.html: cannot write the report: File exists"):
        write_report(tmp_path / "file/out.html", [story()], Models())


def test_zones_have_a_table_and_columns() -> None:
    zone = ZoneMinute(visits=3, left=2, dwell_s=9.0, most_faces=2, shown_s={"happiness": 6.0, "none": 3.0})
    minutes = [structs.replace(MINUTES[0], zones={"door": zone}), MINUTES[1]]
    html = page([story(minutes, EVENTS)], Models())
    row = re.search(r'<th scope="row">door</th>(.*)</tr>', html)
    assert row is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row[1])[:3] == ["3", "4.5 s", "2"]
    assert "happiness, 100%" in row[1]
    assert "<h2>Zones</h2>" not in page([story(MINUTES, EVENTS)], Models())
    first, second = csv.DictReader(io.StringIO(minutes_csv(minutes, wall=False)))
    assert (first["zone_door_visits"], first["zone_door_faces_s"], second["zone_door_visits"]) == ("3", "9.0", "0")


def test_enters_and_leaves_are_no_part_of_a_visit() -> None:
    moved = EventRow(66.0, "run", 1, "leave", "neutral", None, 1.0, zone="door")
    assert visits([*EVENTS[:2], moved]) == visits(EVENTS[:2])
