"""One run: source by source, frame by frame, with a checkpoint now and then."""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event

from rich.progress import Progress, TaskID

from fer_edge.camera import Recording, shown
from fer_edge.camera.replay import ReplayCamera
from fer_edge.camera.sources import open_source
from fer_edge.commands.analyze.checkpoint import Checkpoint, CheckpointWriter, Origin
from fer_edge.commands.analyze.film import SECTION_FRAMES
from fer_edge.commands.analyze.lines import AnalyzedFrame, looks, printable
from fer_edge.commands.analyze.options import AnalyzeOptions
from fer_edge.commands.analyze.outputs import Outputs
from fer_edge.commands.analyze.tally import Tally
from fer_edge.errors import CameraError, Interrupted
from fer_edge.pipeline import Pipeline
from fer_edge.runtime.time_text import clock_text

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """Reads everything. Knows how far it has come."""

    pipeline: Pipeline
    options: AnalyzeOptions
    outputs: Outputs
    keeper: CheckpointWriter
    origin: Origin
    progress: Progress
    stop: Event
    tally: Tally = field(default_factory=Tally)
    failed: int = 0  # sources that could not be read to their end
    now_ns: int = 0  # time of the last frame within its source

    def all(self, earlier: Checkpoint | None) -> int:
        """Read every source, from where an earlier run was; returns how many could not be read to their end.

        Raises:
            SinkError: an output cannot be written any more.
            Interrupted: `stop` was set.

        """
        first = earlier.source if earlier else 0
        self.failed = earlier.failed if earlier else 0
        self.tally = earlier.tally if earlier else self.tally
        if earlier is None:
            self._keep(0, 0)
        for index, source in enumerate(self.options.sources[first:], first):
            trouble, note = self._one(source, index, earlier if index == first else None)
            self.failed += bool(trouble)
            self._end("; ".join(filter(None, (trouble, note))) or None)
            if self.stop.is_set():
                self._leave(index)
            if self.keeper.due():
                self._made(index + 1, 0)
        return self.failed

    def _one(self, source: str, index: int, there: Checkpoint | None) -> tuple[str | None, str | None]:
        """Read a source, from `there` on; returns what was wrong with it and what was left out."""
        name = shown(source)
        task = self.progress.add_task(os.path.basename(name) or name, total=None)
        self._begin(printable(name), index, there)
        try:
            with closing(open_source(self.pipeline.config, source)) as camera:
                self.progress.update(task, total=camera.frames)
                self._frames(camera, source, index, task, there.frame if there else 0)
                self.tally.films_beside += camera.films_inside if isinstance(camera, ReplayCamera) else 0
                return camera.trouble, camera.note
        except CameraError as error:
            log.error("%s", error)
            return str(error), None
        finally:
            if not self.stop.is_set():  # what a container promises may be wrong
                self.progress.update(task, total=self.progress.tasks[task].completed)

    def _begin(self, name: str, index: int, there: Checkpoint | None) -> None:
        self.now_ns = 0
        if there and there.frame:
            self.pipeline.restore(there.memory)
            self.now_ns = there.now_ns
        else:
            self.pipeline.reset()
        self.outputs.for_each(lambda output: output.begin(name, index))

    def _frames(self, camera: Recording, source: str, index: int, task: TaskID, skip: int) -> None:
        for look in looks(self.pipeline, camera, source, still=self.options.still, skip=skip):
            if look:
                self._take(look, index)
            self.progress.advance(task)
            if self.stop.is_set():
                return

    def _take(self, look: AnalyzedFrame, index: int) -> None:
        assert look.update.frame is not None
        self.now_ns = look.update.frame.taken_ns
        self.tally.add(look)
        self.outputs.for_each(lambda output: output.write(look))
        done = look.line.frame + 1
        if done % SECTION_FRAMES == 0:
            self.outputs.for_each(lambda output: output.section())
            if self.keeper.due():
                self._made(index, done)

    def _end(self, trouble: str | None) -> None:
        ends = self.pipeline.end_all(self.now_ns)
        self.outputs.for_each(lambda output: output.end(ends, trouble))

    def _made(self, source: int, frame: int) -> None:
        """Bring everything up to date: what comes after this may be lost."""
        begun = time.monotonic()
        note = f"This run has not finished yet: it has reached {self._place(source)}."
        self.outputs.for_each(lambda output: output.make(note))
        self._keep(source, frame, begun=begun)

    def _keep(self, source: int, frame: int, *, begun: float | None = None) -> None:
        if self.keeper.path:
            checkpoint = Checkpoint(
                origin=self.origin,
                source=source,
                frame=frame,
                now_ns=self.now_ns,
                failed=self.failed,
                tally=self.tally,
                memory=self.pipeline.snapshot(),
                outputs=self.outputs.kept(),
            )
            self.keeper.keep(checkpoint, begun=begun)

    def _leave(self, index: int) -> None:
        """End before the end. Raises Interrupted."""
        place = self._place(index)
        self.outputs.for_each(lambda output: output.make(f"The run was stopped at {place}."))
        on = "continue with the same command and --resume"
        if not self.keeper.path:
            self.outputs.for_each(lambda output: output.finish())
            on = "this run cannot be resumed"
        raise Interrupted(f"stopped at {place}; what was read up to there is written; {on}")

    def _place(self, index: int) -> str:
        sources = self.options.sources
        if index == len(sources):
            return "the end"
        at = clock_text(self.now_ns / 1e9, wall=False)
        return f"{at} of {printable(shown(sources[index]))}" + (
            f" (source {index + 1} of {len(sources)})" if len(sources) > 1 else ""
        )
