"""The content of a report on films, gathered while they are read."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.commands.report.summary import STEPS_SECONDS, ReportData, Visit, visits
from fer_edge.records import Update
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.time_text import clock_text
from fer_edge.tracking.minutes import EventRow, Minute, MinuteMaker, Step, added, moments, step_of

MOST_STEPS = 720  # what happened is kept in at most so many steps of time, which become coarser with a long film
HELD_SECONDS = 1.0
NAME_CHARS = 24  # of a film, beside a face's number


@dataclass(slots=True)
class SourceSpan:
    """One source of several: the report covers them one after the other."""

    name: str
    begin_s: float
    end_s: float
    trouble: str | None = None  # why it was not read to its end


@dataclass(slots=True)
class FilmTimeline:
    """Steps of time, events, and which film they are of. Times are seconds since the first film began."""

    maker: MinuteMaker = field(default_factory=lambda: MinuteMaker(STEPS_SECONDS[0]))
    steps: list[Minute] = field(default_factory=list)
    moments: list[EventRow] = field(default_factory=list)
    reels: list[SourceSpan] = field(default_factory=list)
    period_s: float = 0.0  # between the last two frames

    def begin(self, name: str) -> None:
        """A film begins, when the one before is over."""
        begin_s = self.reels[-1].end_s if self.reels else 0.0
        self.reels.append(SourceSpan(name, begin_s, begin_s))

    @property
    def sources(self) -> Sequence[SourceSpan]:
        """Those that have begun."""
        return self.reels

    def take(self, look: AnalyzedFrame) -> None:
        """Take in a frame."""
        self.add(look.update)

    def add(self, update: Update) -> None:
        """Take in a step of the film that has begun last."""
        assert update.frame is not None
        at_s = self.reels[-1].begin_s + update.frame.taken_ns / 1e9
        self.period_s = at_s - self.reels[-1].end_s or self.period_s
        self._take(update, at_s)

    def end(self, update: Update, trouble: str | None = None) -> None:
        """The film is over; its last frame was shown for as long as the one before. `update` holds the ends."""
        self._take(update, self.reels[-1].end_s + self.period_s)
        self.reels[-1].trouble = trouble

    def _take(self, update: Update, at_s: float) -> None:
        step = step_of(update, at_s=at_s, mono_ns=round(at_s * 1e9))
        for each in (*self._held(at_s), step):
            over = self.maker.add(each)
            self.steps += [over] if over else []
        self.moments += moments(step, str(len(self.reels)))
        self.reels[-1].end_s = at_s
        if len(self.steps) > MOST_STEPS:
            seconds = next(length for length in STEPS_SECONDS if length > self.maker.seconds)
            self.maker.seconds, self.maker.begin_s = seconds, self.maker.begin_s // seconds * seconds
            self.steps = _coarser(self.steps, seconds)

    def _held(self, at_s: float) -> Iterator[Step]:
        """The last frame, second by second, for as long as it is shown: films of few frames were watched, too."""
        step = self.maker.last
        while step and at_s - step.at_s > HELD_SECONDS:
            held_s = step.at_s + HELD_SECONDS
            step = replace(step, at_s=held_s, mono_ns=round(held_s * 1e9), events=())
            yield step

    def story(self, stopped: str | None = None) -> ReportData:
        """The report, as far as it has come. `stopped`: a note that it is not all."""
        rest = copy.deepcopy(self.maker).finish()
        names, end_s = [reel.name for reel in self.reels], self.reels[-1].end_s if self.reels else 0.0
        title = names[0] if len(names) == 1 else counted(len(names), "film")
        return ReportData(
            title=f"Faces in {title}",
            name="film" if len(names) == 1 else "all films",
            begin_s=0.0,
            end_s=end_s,
            minutes=[*self.steps, *([rest] if rest else [])],
            minute_s=self.maker.seconds,
            visits=self._visits(),
            wall=False,
            notes=([stopped] if stopped else []) + self._notes(),
        )

    def _visits(self) -> list[Visit]:
        """Faces by when they came; where there are several films their names say of which they are."""
        found = []
        for number, reel in enumerate(self.reels, 1):
            prefix = f"{shortened(reel.name)} " if len(self.reels) > 1 else ""
            of_reel = visits([moment for moment in self.moments if moment.run == str(number)])
            found += [replace(visit, name=prefix + visit.name) for visit in of_reel]
        return sorted(found, key=lambda visit: visit.begin_s)

    def _notes(self) -> list[str]:
        notes = [f"{reel.name}: {reel.trouble}." for reel in self.reels if reel.trouble]
        if len(self.reels) > 1:
            each = (f"{reel.name} from {clock_text(reel.begin_s, wall=False)}" for reel in self.reels)
            notes.append(f"Times run through all films, one after the other: {', '.join(each)}.")
        return notes


def shortened(name: str) -> str:
    """A name that fits beside a chart."""
    return name if len(name) <= NAME_CHARS else "…" + name[1 - NAME_CHARS :]


def _coarser(steps: Sequence[Minute], seconds: int) -> list[Minute]:
    groups: defaultdict[int, list[Minute]] = defaultdict(list)
    for step in steps:
        groups[step.begin_s // seconds * seconds].append(step)
    return [added(group, begin_s) for begin_s, group in groups.items()]
