"""What a run has read and found, in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.camera import shown
from fer_edge.camera.replay import films_beside
from fer_edge.commands.analyze.lines import AnalyzedFrame, printable
from fer_edge.records import EventType
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.say_once import one_line
from fer_edge.runtime.time_text import span_text

if TYPE_CHECKING:
    from fer_edge.commands.analyze.options import AnalyzeOptions


@dataclass(slots=True)
class Tally:
    """Counts of a run, over interruptions too."""

    frames: int = 0
    pictures: int = 0  # of these frames, those that are files of their own
    with_faces: int = 0  # of these frames
    faces: int = 0  # in all frames, added up
    people: int = 0  # faces that came, each counted once; 0 with --still

    films_beside: int = 0  # pictures with a film in their file

    def add(self, look: AnalyzedFrame) -> None:
        """Count a frame."""
        self.frames += 1
        self.pictures += look.picture is not None
        self.with_faces += bool(look.shown)
        self.faces += len(look.shown)
        self.people += sum(event.event_type is EventType.START for event in look.update.events)


def summary_line(tally: Tally, options: AnalyzeOptions, *, failed: int, frames: int, seconds: float) -> str:
    """What was read, found and written, and how fast. `frames`, `seconds`: of this process alone."""
    beside = f"; {films_beside(tally.films_beside)}" if tally.films_beside else ""
    written = ", ".join(map(printable, options.written()))
    wrote = f"; wrote {written}" if written else ""
    one = "picture" if tally.pictures == tally.frames else "frame"
    speed = f"{frames / seconds:.3g} {one}s a second" if seconds else "at once"
    read = f"read {_read(tally)} of {_sources(options.sources, failed)}"
    return one_line(f"{read}: {_found(tally, still=options.still)}{beside}{wrote}; took {span_text(seconds)}, {speed}")


def _read(tally: Tally) -> str:
    frames = tally.frames - tally.pictures
    parts = [counted(tally.pictures, "picture")] if tally.pictures else []
    return " and ".join(parts + ([counted(frames, "frame")] if frames or not parts else []))


def _found(tally: Tally, *, still: bool) -> str:
    """With tracking a face counts once, however long it stays."""
    if not tally.faces:
        return "no faces"
    if still or not tally.people:
        return f"{counted(tally.faces, 'face')} in {tally.with_faces} of them"
    return f"{counted(tally.people, 'face')}, in view in {tally.with_faces} of them"


def _sources(sources: Sequence[str], failed: int) -> str:
    text = printable(shown(sources[0])) if len(sources) == 1 else counted(len(sources), "source")
    return text + (f" ({failed} failed or incomplete)" if failed else "")
