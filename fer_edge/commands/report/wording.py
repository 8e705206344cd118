"""The page's sentences, and the texts beside its charts."""

from __future__ import annotations

import calendar
from collections.abc import Sequence

from fer_edge.commands.report.differences import interval
from fer_edge.commands.report.rhythm import WEEKDAYS, Slot, busiest, by_hour, by_weekday
from fer_edge.commands.report.summary import NOTHING, Figures, ReportData, bars, figures
from fer_edge.records import LABELS, reason_words
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.time_text import clock_text, figure_text, span_text

DAYS = dict(zip(WEEKDAYS, calendar.day_name, strict=True))

WORTH_A_RANGE = 0.05  # share


def rhythms(story: ReportData) -> list[tuple[str, str, list[Slot]]]:
    """Figures by hour of the day and by weekday, where the period has more than one of these."""
    if not story.wall:
        return []
    both = [("hours", "hour of the day", by_hour(story.minutes)), ("weekdays", "weekday", by_weekday(story.minutes))]
    return [each for each in both if busiest(each[2])]


def busiest_text(story: ReportData) -> str:
    """When most came."""
    times = []
    for name, _, slots in rhythms(story):
        slot = busiest(slots)
        if slot and slot.rate:
            when = (
                f"from {slot.name}:00 to {(int(slot.name) + 1) % 24:02}:00"
                if name == "hours"
                else f"on {DAYS[slot.name]}"
            )
            times.append(f"{when} ({figure_text(slot.rate)} per watched hour)")
    return f"Most came {' and '.join(times)}." if times else ""


def share_words(columns: Sequence[tuple[str, Figures]], of: str) -> str:
    """The chart of shares in words."""
    parts = (
        f"{name}: " + (", ".join(f"{label} {one.shares[label]:.0%}" for label in LABELS if one.shares[label]) or "none")
        for name, one in columns
    )
    return f"Bars: share of {of} per expression. {'; '.join(parts)}."


def came_words(story: ReportData) -> str:
    """The chart of arrivals in words."""
    step_s, steps = bars(story)
    most = max(steps, key=lambda step: step.visitors)
    when = clock_text(max(most.begin_s, story.begin_s), wall=story.wall)
    peak = f"at most {most.visitors:,}, from {when} on" if most.visitors else "nobody came"
    return f"Bars: arrivals in each {span_text(step_s)}; {peak}."


def stays_text(story: ReportData) -> str:
    """How long they stayed, in a sentence."""
    stays = sorted(visit.dwell_s for visit in story.visits if visit.ended)
    if not stays:
        return ""
    if len(stays) == 1:
        return f"The one stay was {span_text(stays[0])} long."
    low, middle, high = (span_text(stays[round(part * (len(stays) - 1))]) for part in (0.25, 0.5, 0.75))
    half = counted(len(stays), "stay")
    if low == high:
        return f"Half of {half} were about {middle} long; the longest {span_text(stays[-1])}."
    return f"Half of {half} were between {low} and {high} long; the longest {span_text(stays[-1])}."


def heat_words(story: ReportData) -> str:
    """What the strongest colour of the heat map stands for."""
    most = max(story.total.heat_s.values(), default=0.0)
    return span_text(most) if story.pictures is None else counted(round(most), "face")


def ranges(story: ReportData) -> list[tuple[str, str, str]]:
    """Figure, value, and what a like period would likely have."""
    one, came = figures(story), interval(story.minutes, "came") if story.wall else None
    if came is None:
        return []
    low, high = (round(rate * one.watched_s) for rate in came)
    rates, stay = " to ".join(figure_text(rate * 3600) for rate in came), interval(story.minutes, "mean stay")
    rows = [
        ("faces that came", f"{one.visitors:,}", f"{low:,} to {high:,}"),
        ("came per watched hour", rate_text(one), rates),
    ]
    if stay:
        rows.append(("mean stay", stay_text(one.mean_dwell_s), " to ".join(map(span_text, stay))))
    shares = {label: interval(story.minutes, label) for label in LABELS if one.shares[label] >= WORTH_A_RANGE}
    return rows + [
        (f"share of {label}", f"{one.shares[label]:.0%}", f"{share[0]:.0%} to {share[1]:.0%}")
        for label, share in shares.items()
        if share
    ]


def judged_text(one: Figures, *, still: bool) -> str:
    """How many faces, or how long, could be judged."""
    if one.judged_share is None:
        return ""
    seen = f"Faces were in view for {span_text(one.faces_s)}, added up"
    seen = (
        f"There {'was' if round(one.faces_s) == 1 else 'were'} {counted(round(one.faces_s), 'face')}" if still else seen
    )
    if one.judged_share > 0.995:
        return f"{seen}, and {'nearly all could be judged' if still else 'could be judged almost all the time'}."
    rest = "For the rest fer-edge abstained instead of guessing: light, distance or angle could be better."
    return f"{seen}. For {one.judged_share:.0%} of {'them' if still else 'that'} there is an expression. {rest}"


def rate_text(one: Figures) -> str:
    """Arrivals per watched hour."""
    return NOTHING if one.per_hour is None else figure_text(one.per_hour)


def stay_text(seconds: float | None) -> str:
    """A stay; a dash where there is none."""
    return NOTHING if seconds is None else span_text(seconds)


def share_text(share: float | None) -> str:
    """A share; a dash where it is of nothing."""
    return NOTHING if share is None else f"{share:.0%}"


def why_text(reason: str | None) -> str:
    """What stands in place of an expression."""
    return f"none ({reason_words(reason)})" if reason else "none"
