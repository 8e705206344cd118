"""What `fer-edge analyze` can be asked for, and what cannot be together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec

from fer_edge import __version__
from fer_edge.camera import shown
from fer_edge.camera.sources import is_live, is_picture, mark
from fer_edge.commands.analyze.checkpoint import SUFFIX, Origin
from fer_edge.commands.analyze.film import load_av
from fer_edge.commands.analyze.output import STDOUT
from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.pipeline import Pipeline
from fer_edge.vision.tflite import runtime_name

OUTPUTS = ("jsonl", "csv", "parquet", "events", "video", "report", "draw")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What was asked for. Outputs that are a str may be - for stdout."""

    sources: Sequence[str]
    jsonl: str | None = None  # None: stdout if no other output is requested
    csv: str | None = None
    parquet: Path | None = None
    events: str | None = None
    video: Path | None = None
    report: Path | None = None
    draw: Path | None = None  # a folder for annotated pictures
    still: bool = False  # pictures have nothing to do with each other
    resume: bool = False
    save_seconds: float = 10.0  # between two checkpoints

    def files(self) -> dict[str, str]:
        """Where outputs go, by option."""
        each = {name: getattr(self, name) for name in OUTPUTS}
        return {name: os.fspath(path) for name, path in each.items() if path is not None} or {"jsonl": STDOUT}

    def written(self) -> list[str]:
        """The files and folders that stay."""
        return [path for path in self.files().values() if path != STDOUT]

    def resume_file(self) -> Path | None:
        """Where checkpoints go: beside the first output; None where nothing can be resumed."""
        files = self.files()
        pipes = [path for path in files.values() if path == STDOUT or _is_pipe(path)]
        if pipes or any(map(is_live, self.sources)):
            return None
        return Path(os.path.abspath(next(iter(files.values()))) + SUFFIX)  # the folder of --draw may be "."


def _is_pipe(path: str) -> bool:
    """Whether its output cannot be read again."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def check(options: AnalyzeOptions) -> None:
    """Raises ConfigError where options do not fit together."""
    files = options.files()
    _check_names(files, options.sources)
    if options.video and len(options.sources) > 1:
        raise ConfigError(
            f"--video: expected one source, got {len(options.sources)} (each film of a folder is one); "
            "run analyze once for each film"
        )
    if options.still and options.events:
        raise ConfigError("--events: reports changes over time, which --still does not follow; leave out one of them")
    if options.resume and options.resume_file() is None:
        live = [shown(source) for source in options.sources if is_live(source)]
        why = f"{live[0]} is live" if live else "what went to standard output or a pipe cannot be taken back"
        raise ConfigError(f"--resume: {why}; expected files to read and files to write")


def _check_names(files: dict[str, str], sources: Sequence[str]) -> None:
    """Each output has a file of its own, and none is a source."""
    names: dict[str, str] = {}
    for name, path in files.items():
        real = path if path == STDOUT else os.path.realpath(path)
        if real in names:
            raise ConfigError(f"--{name} {path}: --{names[real]} is written there already; choose another file")
        if name != "draw" and os.path.isdir(real):
            raise ConfigError(f"--{name} {path}: is a folder; expected a file in it")
        names[real] = name
    for source in sources:
        taken = names.get(os.path.realpath(source.removeprefix("file://")))
        if taken:
            raise ConfigError(f"--{taken} {files[taken]}: is a source; it would be overwritten; choose another file")
        if names.get(os.path.dirname(os.path.realpath(source))) == "draw" and is_picture(source):
            raise ConfigError(
                f"--draw {files['draw']}: {source} is in it and would be overwritten; choose another folder"
            )


def origin(config: Config, options: AnalyzeOptions, pipeline: Pipeline) -> Origin:
    """What a run with these options is of. Raises SinkError where the library for films is missing."""
    software = [__version__, runtime_name(config.models.runtime), cv2.__version__]
    if options.video:
        software.append(load_av().__version__)
    return Origin(
        software=" ".join(software),
        configuration=hashlib.sha256(msgspec.json.encode(config)).hexdigest(),
        models=" ".join(card.sha256 for card in pipeline.cards),
        sources=" ".join(map(mark, options.sources)),
        options=hashlib.sha256(repr((options.files(), options.still)).encode(errors="surrogateescape")).hexdigest(),
    )
