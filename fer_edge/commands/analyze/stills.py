"""The content of a report on independent pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.commands.report.summary import PictureRow, ReportData
from fer_edge.commands.report.wording import why_text
from fer_edge.records import Update
from fer_edge.runtime.count_text import counted
from fer_edge.tracking.counters import NONE, View, view
from fer_edge.tracking.minutes import Minute, added


@dataclass(slots=True)
class StillTimeline:
    """Pictures, and their sum: a picture counts as a second, so that shares mean the same as in a film's report."""

    total: Minute = field(default_factory=lambda: Minute(begin_s=0))
    pictures: list[PictureRow] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin(self, name: str) -> None:
        """A source begins."""
        self.sources.append(name)

    def take(self, look: AnalyzedFrame) -> None:
        """Add a picture, or a film's frame."""
        size = (look.line.width, look.line.height)
        shown = [view(face, size) for face in look.shown]
        name = look.picture.name if look.picture else f"{self.sources[-1]}, frame {look.line.frame}"
        self.pictures.append(PictureRow(name, [_words(each) for each in shown]))
        self.total = added([self.total, _counted(shown)], 0)

    def end(self, update: Update, trouble: str | None) -> None:  # noqa: ARG002 - nobody was followed
        """The source is over."""
        self.notes += [f"{self.sources[-1]}: {trouble}."] if trouble else []

    def story(self, stopped: str | None = None) -> ReportData:
        """The report, as far as it has come. `stopped`: a note that it is not all."""
        name = self.sources[0] if len(self.sources) == 1 else counted(len(self.pictures), "picture")
        return ReportData(
            title=f"Faces in {name}",
            name="all pictures",
            begin_s=0.0,
            end_s=float(len(self.pictures)),
            minutes=[self.total],
            wall=False,
            notes=[*([stopped] if stopped else []), *self.notes],
            pictures=self.pictures,
        )


def _counted(shown: list[View]) -> Minute:
    """One picture."""
    labels, reasons, cells = dict[str, float](), dict[str, float](), dict[int, float]()
    for label, reason, cell, *_ in shown:
        labels[label] = labels.get(label, 0.0) + 1
        if reason:
            reasons[reason] = reasons.get(reason, 0.0) + 1
        if cell is not None:
            cells[cell] = cells.get(cell, 0.0) + 1
    return Minute(begin_s=0, watched_s=1.0, most_faces=len(shown), shown_s=labels, abstained_s=reasons, heat_s=cells)


def _words(face: View) -> str:
    return face.label if face.label != NONE else why_text(face.reason)
