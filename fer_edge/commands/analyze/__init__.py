"""Offline runs: pictures and videos in; lines, tables, events, a film, pictures and a report out.

A run over files can be interrupted by anything and resumed: see `checkpoint.py`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fer_edge.camera.sources import each_source
from fer_edge.commands.analyze.checkpoint import CheckpointWriter, load
from fer_edge.commands.analyze.claim import claimed
from fer_edge.commands.analyze.lines import shown_by_clip, shown_by_pictures
from fer_edge.commands.analyze.options import AnalyzeOptions, check, origin
from fer_edge.commands.analyze.output import Output
from fer_edge.commands.analyze.outputs import Events, FilmOutput, JsonLines, Outputs, Parquet, Report, Table
from fer_edge.commands.analyze.pictures import Pictures
from fer_edge.commands.analyze.rows import columns_of
from fer_edge.commands.analyze.run import Run
from fer_edge.commands.analyze.tally import summary_line
from fer_edge.config import Config
from fer_edge.instance import identity
from fer_edge.pipeline import Pipeline
from fer_edge.runtime.atomic_file import remove_strays

STRAY_SECONDS = 86_400.0  # another program may be writing there

__all__ = ["AnalyzeOptions", "analyze", "shown_by_clip", "shown_by_pictures"]


def analyze(config: Config, options: AnalyzeOptions, stop: Event | None = None) -> int:
    """Run every source through the pipeline; returns how many of them could not be read to their end.

    Raises:
        FerEdgeError: nothing can be analysed at all: a model is missing, or an output cannot be written.
        Interrupted: `stop` was set.

    """
    written = {os.path.realpath(path) for path in options.written()}
    options = replace(options, sources=each_source(options.sources, still=options.still, without=written))
    check(options)
    with claimed(options.files()):
        for folder in {Path(path).parent for path in written}:
            remove_strays(folder, older_seconds=STRAY_SECONDS)
        return _run(config, options, stop or Event())


def _run(config: Config, options: AnalyzeOptions, stop: Event) -> int:
    pipeline = Pipeline(config)
    keeper, begun = (
        CheckpointWriter(options.resume_file(), every_seconds=options.save_seconds),
        origin(config, options, pipeline),
    )
    outputs = Outputs(_outputs(config, options, pipeline), resumable=keeper.path is not None)
    earlier = load(keeper.path, begun) if options.resume and keeper.path else None
    with _progress() as progress, outputs:
        outputs.start(earlier.outputs if earlier else None)
        run = Run(pipeline, options, outputs, keeper, begun, progress, stop)
        watch = _Watch(earlier.tally.frames if earlier else 0)
        run.all(earlier)
        outputs.for_each(lambda output: output.make(None))
        keeper.forget()
        outputs.for_each(lambda output: output.finish())
    sys.stderr.write(f"fer-edge: {watch.line(run)}\n")
    return run.failed


class _Watch:
    """How long a run takes, from when this is made."""

    def __init__(self, frames: int) -> None:
        """`frames`: those that were read before, by a run that was interrupted."""
        self._begun_s, self._frames = time.monotonic(), frames

    def line(self, run: Run) -> str:
        """What was read, found and written, and how fast."""
        seconds, frames = time.monotonic() - self._begun_s, run.tally.frames - self._frames
        return summary_line(run.tally, run.options, failed=run.failed, frames=frames, seconds=seconds)


def _outputs(config: Config, options: AnalyzeOptions, pipeline: Pipeline) -> dict[str, Output]:
    """What was asked for, by option. Raises SinkError or ReportError where its library is missing."""
    makers: dict[str, Callable[[str], Output]] = {
        "jsonl": JsonLines,
        "csv": lambda path: Table(path, columns_of(config)),
        "parquet": lambda path: Parquet(Path(path), columns_of(config)),
        "events": lambda path: Events(path, identity(config, pipeline.cards)),
        "video": lambda path: FilmOutput(Path(path), config.zones),
        "report": lambda path: Report(Path(path), config.models, still=options.still),
        "draw": lambda path: Pictures(Path(path), config.zones, several=len(options.sources) > 1),
    }
    return {option: makers[option](path) for option, path in options.files().items()}


def _progress() -> Progress:
    """A bar on the terminal; silent where stderr is none."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console.quiet = not console.is_terminal  # Bookworm's rich ends a disabled Progress with an empty line
    return Progress(*columns, console=console, disable=console.quiet)
