"""Whether two periods differ by more than chance.

People come in groups, and hours resemble each other, so faces are not independent samples. Whole hours (of short
periods: minutes) are resampled with replacement 2,000 times from either period (bootstrap); where 95 % of the
differences have the same sign, it is more than chance. For the median stay, stays are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_edge.commands.report.summary import LEAST_SHARE, NOTHING, ReportData, figures
from fer_edge.records import LABELS
from fer_edge.runtime.time_text import figure_text
from fer_edge.tracking.minutes import Minute

RESAMPLES = 2000
AT_ONCE = 100  # of them, so that years of hours fit into memory
LEAST_BLOCKS = 8
LEAST_STAYS = 8
MOST_STAYS = 2000
HOUR_SECONDS = 3600

Doubles = NDArray[np.float64]

COLUMNS = ("watched_s", "visitors", "left", "dwell_s", "faces_s", "judged_s", *LABELS)
RATES = {
    "came": ("visitors", "watched_s"),
    "mean stay": ("dwell_s", "left"),
    "in view": ("faces_s", "watched_s"),
    "judged": ("judged_s", "faces_s"),
    **{label: (label, "judged_s") for label in LABELS},
}
"""What is compared: one sum for each of another."""


class Verdicts:
    """Of two periods: by measure, whether they differ by more than chance."""

    def __init__(self, one: ReportData, other: ReportData) -> None:
        self._seconds = _block_seconds(one, other)
        self._known = self._of_rates(one, other) | {"median stay": _of_stays(one, other)}

    def __getitem__(self, measure: str) -> str:
        """As people read it."""
        known = self._known[measure]
        return "too little to say" if known is None else "more than chance" if known else "may be chance"

    @property
    def how(self) -> str:
        """How that was found."""
        unit = "hours" if self._seconds == HOUR_SECONDS else "minutes" if self._seconds >= 60 else "moments"
        return (
            f"More than chance: of {RESAMPLES:,} pairs of periods resampled from the watched {unit} of both, 95 % "
            "differ in the same direction (bootstrap). One in twenty comparisons looks like that by chance alone."
        )

    def _of_rates(self, one: ReportData, other: ReportData) -> dict[str, bool | None]:
        each = [blocks(story.minutes, self._seconds) for story in (one, other)]
        if min(map(len, each)) < LEAST_BLOCKS:
            return dict.fromkeys(RATES)
        first, second = (_resampled(found, seed) for seed, found in enumerate(each))
        with np.errstate(divide="ignore", invalid="ignore"):
            return {measure: _one_sided(_rate(first, measure) - _rate(second, measure)) for measure in RATES}


def interval(minutes: Sequence[Minute], measure: str) -> tuple[float, float] | None:
    """The interval in which a rate lies in 95 of 100 periods resampled from this one's hours; None where there are too
    few hours."""
    found = blocks(minutes, HOUR_SECONDS)
    if len(found) < LEAST_BLOCKS:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = _rate(_resampled(found, 0), measure)
    rates = rates[np.isfinite(rates)]
    return (float(np.percentile(rates, 2.5)), float(np.percentile(rates, 97.5))) if len(rates) else None


def blocks(minutes: Sequence[Minute], seconds: int) -> Doubles:
    """Sums over equal stretches of time that were watched, f64[N,COLUMNS]."""
    sums: defaultdict[int, Doubles] = defaultdict(lambda: np.zeros(len(COLUMNS)))
    for minute in minutes:
        sums[minute.begin_s // seconds] += _row(minute)
    watched = [row for row in sums.values() if row[0] > 0]
    return np.array(watched) if watched else np.zeros((0, len(COLUMNS)))


def _row(minute: Minute) -> Doubles:
    shown = [minute.shown_s.get(label, 0.0) for label in LABELS]
    known = (minute.watched_s, minute.visitors, minute.left, minute.dwell_s, minute.faces_s, sum(shown))
    return np.array([*known, *shown])


def _block_seconds(*stories: ReportData) -> int:
    if min(len(blocks(story.minutes, HOUR_SECONDS)) for story in stories) >= LEAST_BLOCKS:
        return HOUR_SECONDS
    return max(story.minute_s for story in stories)


def _resampled(found: Doubles, seed: int) -> Doubles:
    """Sums of resampled periods, f64[RESAMPLES,COLUMNS]."""
    return np.concatenate(list(_parts(found, np.random.default_rng(seed))))


def _parts(found: Doubles, rng: np.random.Generator) -> Iterator[Doubles]:
    even = np.full(len(found), 1 / len(found))
    for _ in range(RESAMPLES // AT_ONCE):
        yield rng.multinomial(len(found), even, size=AT_ONCE) @ found


def _rate(sums: Doubles, measure: str) -> Doubles:
    above, below = (COLUMNS.index(name) for name in RATES[measure])
    return np.asarray(sums[:, above] / sums[:, below])


def _one_sided(differences: Doubles) -> bool | None:
    """Whether 95 % lie on one side of 0; None where hardly any is known."""
    known = differences[np.isfinite(differences)]
    if len(known) < RESAMPLES / 2:
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return bool(low > 0 or high < 0)


def _of_stays(one: ReportData, other: ReportData) -> bool | None:
    """Of the median stay."""
    each = [np.array([visit.dwell_s for visit in story.visits if visit.ended][:MOST_STAYS]) for story in (one, other)]
    if min(map(len, each)) < LEAST_STAYS:
        return None
    medians = [_medians(stays, np.random.default_rng(seed)) for seed, stays in zip((2, 3), each, strict=True)]
    return _one_sided(medians[0] - medians[1])


def _medians(stays: Doubles, rng: np.random.Generator) -> Doubles:
    """Of resampled periods, f64[RESAMPLES]."""
    shape = (AT_ONCE, len(stays))
    return np.concatenate([np.median(rng.choice(stays, shape), axis=1) for _ in range(RESAMPLES // AT_ONCE)])


def differences(stories: Sequence[ReportData], verdicts: Verdicts) -> list[tuple[str, str, str]]:
    """Figure, the first period less the second, and whether that is more than chance."""
    first, second = map(figures, stories)
    rows = [("faces that came", _signed(first.visitors - second.visitors, second.visitors), "came")]
    rows.append(("came per watched hour", _less(first.per_hour, second.per_hour, ""), "came"))
    rows.append(("median stay", _less(first.median_dwell_s, second.median_dwell_s, " s"), "median stay"))
    rows.append(("mean stay", _less(first.mean_dwell_s, second.mean_dwell_s, " s"), "mean stay"))
    rows.append(("faces in view, mean", _less(first.mean_faces, second.mean_faces, ""), "in view"))
    rows.append(("face time that was judged", _points(first.judged_share, second.judged_share), "judged"))
    rows += [
        (f"share of {label}", _points(first.shares[label], second.shares[label]), label)
        for label in LABELS
        if max(first.shares[label], second.shares[label]) >= LEAST_SHARE
    ]
    return [(name, text, verdicts[measure]) for name, text, measure in rows if text != NOTHING]


def _signed(difference: float, of: float, unit: str = "") -> str:
    """As in "+12 (+25 %)"."""
    share = f" ({difference / of:+.0%})".replace("%", "\u00a0%") if of else ""
    sign = "+" if difference >= 0 else "-"
    return f"{sign}{figure_text(abs(difference))}{unit}{share}".replace("-", "−")


def _less(one: float | None, other: float | None, unit: str) -> str:
    return NOTHING if one is None or other is None else _signed(one - other, other, unit)


def _points(one: float | None, other: float | None) -> str:
    return NOTHING if one is None or other is None else f"{100 * (one - other):+.1f} points".replace("-", "−")
