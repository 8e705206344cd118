"""fer_edge.commands.report: figures by hand, and pages that say what they should."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from msgspec import structs

from fer_edge.commands.report.differences import Verdicts, differences, interval
from fer_edge.commands.report.page import figure_rows, minutes_csv, page, write_report
from fer_edge.commands.report.rhythm import WEEKDAYS, by_hour, by_weekday
from fer_edge.commands.report.summary import PictureRow, ReportData, Segment, Visit, figures
from fer_edge.config import Models
from fer_edge.errors import ReportError
from fer_edge.runtime.time_text import clock_text, span_text
from fer_edge.tracking.minutes import EventRow, Minute, ZoneMinute
from fer_edge.vision.model_card import models_folder
from tests.support.stories import EVENTS, MINUTES, story


def test_words_beside_charts() -> None:
    html = page([story(MINUTES, EVENTS)], Models())
    assert "share of the judged time per expression. this period: neutral 83%, happiness 17%." in html
    assert "none (turned away) 50 s" in html, "the table says why there is no expression"
    lines = charts(page([story(MINUTES, EVENTS, end_s=200.0)], Models()))["visits"]
    assert ">turned away<" in lines, "and so does the chart, where there is room"
    assert "Hatched: nobody watched." in html
    whole = page([story([MINUTES[0], Minute(begin_s=0, watched_s=60.0)], EVENTS, end_s=120.0)], Models())
    assert "Hatched" not in whole


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (35, "35 s"),
        (130, "2 min"),
        (4800, "80 min"),
        (7500, "2 h 5 min"),
        (10_800, "3 h"),
        (260_000, "3 days"),
        (300_000, "3.5 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_times_of_a_film() -> None:
    assert clock_text(3725.9, wall=False) == "1:02:05"


def charts(html: str) -> dict[str, str]:
    """The wide SVG of each chart of a page by its name; all must be well-formed and have names of their own."""
    found = re.findall(r'<div class="on-(?:wide|narrow)">(<svg.*?</svg>)\s*</div>', html, re.DOTALL)
    for svg in found:
        ElementTree.fromstring(svg)
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))
    return {match[1]: svg for svg in found if (match := re.search(r'id="(\w+)-on-wide-', svg))}


def test_a_page_tells_it_all_by_itself() -> None:
    html = page([story(MINUTES, EVENTS, notes=["3 frames were damaged & skipped."])], Models())
    detector = json.loads((models_folder() / f"{Models().detector}.json").read_text())
    drawn = charts(html)
    assert set(drawn) == {"share", "came", "view", "visits", "heat"}
    assert "happiness" in drawn["share"]
    assert "arrivals per minute" in drawn["came"]
    assert "faces in view, mean" in drawn["view"]
    assert "happiness" in drawn["view"]
    assert "#2" in drawn["visits"]
    for text in (
        "A hall",
        "<dt>faces that came</dt><dd>3</dd>",
        "turned away",
        "11.4 %",
        "damaged &amp; skipped",
        f"AP at IoU 0.5 {detector['metrics']['int8']['ap']:.2f}",
        "0 %: surprise, sadness, anger, disgust, fear, contempt.",
    ):
        assert text in html, text
    assert not re.search(r'\b(src|href)="(?!data:|#)', html), "nothing comes from elsewhere"
    assert "<script" not in html
    assert len(re.findall(r'class="chart" role="img" aria-label="[^"]{20,}"', html)) == html.count('class="chart"') == 5
    assert html.count("<svg ") == html.count('aria-hidden="true"') == 10, "a chart is named once, by its frame"


def test_charts_take_the_colours_of_the_page() -> None:
    html = page([story(MINUTES, EVENTS)], Models())
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in charts(html)["came"]
    assert not re.search("#0[1-5]0[1-5]0[1-5]", html), "a stand-in for a colour is left"
    assert "#000000" not in "".join(charts(html).values())


def test_a_reason_that_only_a_newer_version_knows_is_shown_as_it_is() -> None:
    row = EventRow(62.0, "run", 1, "start", None, "too_foggy", 0.0)
    minute = Minute(begin_s=60, watched_s=60.0, visitors=1, shown_s={"none": 60.0}, abstained_s={"too_foggy": 60.0})
    html = page([story([minute], [row, row._replace(at_s=110.0, kind="end", dwell_s=48.0)])], Models())
    assert '<th scope="row">too_foggy</th>' in html
    assert "none (too_foggy)" in html


def test_the_same_period_gives_the_same_page() -> None:
    assert page([story(MINUTES, EVENTS)], Models()) == page([story(MINUTES, EVENTS)], Models())


def test_two_periods_beside_each_other() -> None:
    other = story([MINUTES[1]], name="compared with")
    html = page([story(MINUTES, EVENTS), other], Models())
    assert ">compared with</th>" in html
    assert "(compared with)" in charts(html)["share"]
    assert "What has changed" in html
    assert "too little to say" in html


def shop(seed: int, *, per_hour: float, hours: int = 80, stay_s: float = 8.0, happy: float = 0.2) -> ReportData:
    """Hours from nine to five on some days."""
    rng = np.random.default_rng(seed)
    minutes, stays = [], []
    for number in range(hours):
        begin_s = int(datetime(2026, 11, 2 + number // 8, 9 + number % 8).timestamp())
        came = rng.poisson(per_hour)
        dwells = rng.exponential(stay_s, came)
        stays += [Visit("#1", (Segment(begin_s, begin_s + d, "neutral", None),), float(d), True) for d in dwells]
        total_s = float(dwells.sum())
        shown = {"neutral": total_s * (1 - happy), "happiness": total_s * happy}
        minutes.append(
            Minute(
                begin_s=begin_s, watched_s=3600.0, visitors=int(came), left=int(came), dwell_s=total_s, shown_s=shown
            )
        )
    begin_s = minutes[0].begin_s
    fields: dict[str, Any] = {"title": "A shop", "name": "this period", "minutes": minutes, "visits": stays}
    return ReportData(begin_s=begin_s, end_s=minutes[-1].begin_s + 3600, **fields)


def test_what_differs_by_more_than_chance() -> None:
    quiet, busy, same = shop(1, per_hour=10), shop(2, per_hour=14, happy=0.3), shop(3, per_hour=10)
    verdicts = Verdicts(busy, quiet)
    assert {name: verdicts[name] for name in ("came", "happiness", "neutral", "in view")} == dict.fromkeys(
        ("came", "happiness", "neutral", "in view"), "more than chance"
    )
    assert verdicts["sadness"] == "may be chance"
    alike = Verdicts(same, quiet)
    assert {alike[name] for name in ("came", "mean stay", "median stay", "judged")} == {"may be chance"}
    assert Verdicts(shop(1, per_hour=10, stay_s=20), quiet)["median stay"] == "more than chance"
    assert "watched hours" in verdicts.how


def test_chance_is_seldom_taken_for_more() -> None:
    wrong = sum(
        Verdicts(shop(2 * n, per_hour=6, hours=24), shop(2 * n + 1, per_hour=6, hours=24))["came"] == "more than chance"
        for n in range(30)
    )
    assert wrong <= 5, "one in twenty is what is said; these are the same thirty at each run"


def test_differences_have_signs() -> None:
    each = [shop(2, per_hour=14), shop(1, per_hour=10)]
    rows = {name: (text, verdict) for name, text, verdict in differences(each, Verdicts(*each))}
    came = figures(each[0]).visitors - figures(each[1]).visitors
    assert rows["faces that came"][0].startswith(f"+{came} (+")
    assert rows["share of neutral"] == ("+0.0 points", "may be chance")
    assert "share of fear" not in rows
    back = {name: text for name, text, _ in differences(each[::-1], Verdicts(*each[::-1]))}
    assert back["faces that came"].startswith(f"−{came} (−")


def test_ranges_hold_the_figure() -> None:
    one = shop(1, per_hour=10)
    low, high = interval(one.minutes, "came") or (0.0, 0.0)
    assert low < figures(one).visitors / figures(one).watched_s < high
    assert 0.8 < low * 3600 / 10 < high * 3600 / 10 < 1.2
    assert interval(one.minutes[:5], "came") is None
    assert "in 95 of 100 like periods" in page([one], Models())


def test_when_they_came() -> None:
    rush = Minute(begin_s=int(datetime(2026, 11, 7, 12).timestamp()), watched_s=3600.0, visitors=90)  # a Saturday
    one = shop(1, per_hour=10)
    busy = replace(one, minutes=[*one.minutes, rush])
    hours, days = by_hour(busy.minutes), by_weekday(busy.minutes)
    assert [slot.name for slot in hours if slot.rate is not None] == [f"{hour:02}" for hour in range(9, 17)]
    assert [slot.name for slot in days] == list(WEEKDAYS)
    assert hours[12].watched_s == 11 * 3600
    html = page([busy], Models())
    assert "Most came from 12:00 to 13:00 (" in html
    assert " and on Saturday (" in html
    assert {"hours", "weekdays"} <= set(charts(html))
    assert not {"hours", "weekdays"} & set(charts(page([story(MINUTES, EVENTS)], Models()))), "a film has no hours"


def test_how_long_they_stayed() -> None:
    html = page([shop(1, per_hour=10)], Models())
    drawn = charts(html)
    assert "to 10 s" in drawn["stays"]
    assert "visits" not in drawn, "stays of seconds are no lines in a week"
    assert re.search(r"Half of \d+ stays were between [\d.]+ s and [\d.]+ s long; the longest \d+ s\.", html)
    table = html.partition('aria-label="longest stays"')[2].partition("</table>")[0]
    assert table.count("<tr>") == 11, "the ten longest, and the heads"


def test_pictures_have_a_report_of_their_own() -> None:
    seen = [PictureRow("a.jpg", ["happiness", "none (turned away)"]), PictureRow("<b>.jpg", [])]
    total = Minute(begin_s=0, watched_s=2.0, most_faces=2, shown_s={"happiness": 1.0, "none": 1.0}, heat_s={3: 2.0})
    html = page([story([total], pictures=seen, end_s=2.0)], Models())
    assert "<dt>with a face</dt><dd>1</dd>" in html
    assert "&lt;b&gt;.jpg" in html
    assert "share of the judged faces, %" in charts(html)["share"]
    for word in ("watched", "stay", "faces that came", " s of film"):
        assert word not in html.partition("<main>")[2].partition("The models")[0]


def test_a_page_of_nobody() -> None:
    html = page([story([Minute(begin_s=0, watched_s=60.0)], end_s=60.0)], Models())
    assert "Nobody was seen." in html
    assert charts(html) == {}
    assert "Hatched" not in html
    gap = page([story([Minute(begin_s=0, watched_s=60.0)])], Models())
    assert set(charts(gap)) == {"came"}, "when nobody could have been seen"
    assert "nobody came" in gap
    stills = page([story([Minute(begin_s=0, watched_s=1.0)], end_s=1.0, pictures=[PictureRow("a.jpg", [])])], Models())
    assert "No face was found." in stills
    assert charts(stills) == {}


EMPTY = re.compile(
    r"\bnan\b|\binf\b|<d[dt]>(–|)</d[dt]>|<td[^>]*></td>|<h[23]>[^<]*</h[23]>\s*<(h2|/main)", re.IGNORECASE
)
"""What a report must not have: a figure that is none, a section of nothing."""


def sparse() -> dict[str, list[ReportData]]:
    """Periods with hardly anything in them."""
    unjudged = Minute(begin_s=0, watched_s=60.0, visitors=1, shown_s={"none": 9.0}, abstained_s={"turned": 9.0})
    one = Minute(begin_s=0, watched_s=0.5, visitors=1, left=0, most_faces=1, shown_s={"neutral": 0.5})
    empty = Minute(begin_s=0)
    wall: dict[str, Any] = {"wall": True, "end_s": 86_400.0}
    return {
        "nothing": [story()],
        "one face for half a second": [story([one], EVENTS[:1], end_s=0.5)],
        "nobody judged": [story([unjudged], end_s=60.0)],
        "one minute of a day": [story([one], **wall)],
        "not watched": [story([empty], **wall)],
        "beside nobody": [story([MINUTES[0]], EVENTS, **wall), story([empty], **wall)],
        "nobody, beside somebody": [story([empty], **wall), story([MINUTES[0]], EVENTS, **wall)],
        "two of nobody": [story([empty], **wall), story([empty], **wall)],
        "an empty picture": [story([Minute(begin_s=0, watched_s=1.0)], end_s=1.0, pictures=[PictureRow("a.jpg", [])])],
        "a picture, not judged": [story([unjudged], end_s=1.0, pictures=[PictureRow("a.jpg", ["none (dark)"])])],
    }


@pytest.mark.parametrize("name", sparse())
def test_no_section_is_empty_and_no_figure_is_none(name: str) -> None:
    html = page(sparse()[name], Models()).partition("<main>")[2]
    assert not EMPTY.search(html), EMPTY.search(html)
    assert "None" not in html.partition("The models")[0]
    for drawn in charts(html).values():
        assert "nan" not in drawn
    assert ("Where faces were" in html) == any(each.total.heat_s for each in sparse()[name][:1])


def test_faces_of_which_none_was_judged() -> None:
    html = page(sparse()["nobody judged"], Models())
    assert "No face could be judged." in html
    assert "0 %:" not in html
    assert set(charts(html)) == {"came", "view"}


def test_no_rate_an_hour_of_a_moment() -> None:
    minute = Minute(begin_s=0, watched_s=20.0, visitors=5)
    names = {row[0] for row in figure_rows([story([minute], wall=True)])}
    assert "came per watched hour" not in names
    assert {"median stay", "mean stay", "most shown expression"}.isdisjoint(names)
    long = structs.replace(minute, watched_s=600.0)
    assert ["came per watched hour", "30"] in figure_rows([story([long], wall=True)])


def test_large_numbers_are_grouped() -> None:
    minute = Minute(begin_s=0, watched_s=3600.0, visitors=12_345, shown_s={"neutral": 9.0})
    assert ["faces that came", "12,345"] in figure_rows([story([minute])])
    assert "<dd>12,345</dd>" in page([story([minute])], Models())


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
