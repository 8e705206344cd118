"""The Python API: pictures and films in, faces out, with the results of `fer-edge analyze`. docs/python.md shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from fer_edge.camera import FrameMaker, Recording
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.replay import read_picture
from fer_edge.camera.sources import open_source
from fer_edge.commands.analyze.face_rows import FaceRow, FaceTable, face_rows
from fer_edge.commands.analyze.lines import AnalyzedFrame, frame_line, looks, printable, shown_by_pictures
from fer_edge.commands.analyze.rows import columns_of
from fer_edge.config import Config
from fer_edge.errors import ArgumentError
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image
from fer_edge.settings.loader import load_config, parse_config

Colours = Literal["BGR", "RGB"]
Configuration = Config | Mapping[str, Any] | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """A frame of a film, with its faces."""

    frame: int  # counts from 0
    t_s: float  # since the film began
    image: Image  # u8[H,W,3] BGR, as it was processed
    faces: FaceTable


class Analyzer:
    """Analyses pictures and films. Loads the models once; for one thread at a time.

    Several may coexist, each with its own models and thresholds. A context manager; `close` frees the
    models' memory.
    """

    def __init__(self, config: Configuration | None = None) -> None:
        """`config`: what config.yaml holds, as its path, as a mapping of sections, or as a `fer_edge.config.Config`;
        None: the defaults. No file is searched for.

        Raises:
            ConfigError: it is wrong; `findings` has a line for each thing that is.
            ModelError: a model is missing, damaged or differs from its card.

        """
        self.config = _config(config)
        self._columns = columns_of(self.config)
        self._pipeline: Pipeline | None = Pipeline(self.config)

    def look(self, image: NDArray[np.uint8] | str | os.PathLike[str], *, colours: Colours = "BGR") -> FaceTable:
        """The faces of one independent picture, as `analyze --still` finds them.

        Args:
            image: u8[H,W,3], u8[H,W,4] whose alpha is left out, u8[H,W] in gray, or a picture's path; stays as it is.
            colours: the order of an array's colours: BGR as in OpenCV, RGB as in Pillow, imageio and matplotlib.

        Raises:
            ArgumentError: it is no picture.
            CameraError: the file cannot be read.

        """
        pipeline = self._open()
        name = "" if isinstance(image, np.ndarray) else printable(_path(image))
        picture = _bgr(image, colours) if isinstance(image, np.ndarray) else read_picture(Path(image))
        frame = FrameMaker(Orientation()).make(picture, taken_ns=0)
        pipeline.reset()
        update = pipeline.look(frame)
        faces = shown_by_pictures(update, pipeline)
        look = AnalyzedFrame(frame_line(faces, update, name, index=0), tuple(faces), update, None)
        return self._table(face_rows(look, self._columns))

    def film(self, source: str | os.PathLike[str], *, still: bool = False) -> FaceTable:
        """A row for each face of each frame, as `analyze --csv` writes it; a film that breaks off has what came before,
        and `trouble` has the reason.

        Args:
            source: a film, a folder of pictures, a URL that ends, or "demo".
            still: whether each frame stands for itself: no tracking.

        Raises:
            CameraError: it cannot be opened.

        """
        rows: list[FaceRow] = []
        pipeline, name = self._open(), os.fspath(source)
        with closing(open_source(self.config, name)) as camera:
            for look in _looks(pipeline, camera, name, still=still):
                rows += face_rows(look, self._columns)
            return self._table(rows, trouble=camera.trouble)

    def frames(self, source: str | os.PathLike[str], *, still: bool = False) -> Iterator[FilmFrame]:
        """The frames of a film with their faces, one after the other, for films that are too long to be kept; see
        `film`. Nothing else may be analysed meanwhile."""
        pipeline, name = self._open(), os.fspath(source)
        with closing(open_source(self.config, name)) as camera:
            for look in _looks(pipeline, camera, name, still=still):
                assert look.update.frame is not None
                faces = self._table(face_rows(look, self._columns))
                yield FilmFrame(look.line.frame, look.line.t_s, look.update.frame.image, faces)

    def close(self) -> None:
        """Free the models. May be called twice."""
        self._pipeline = None

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _table(self, rows: list[FaceRow], *, trouble: str | None = None) -> FaceTable:
        return FaceTable(rows, trouble=trouble, columns=self._columns)

    def _open(self) -> Pipeline:
        if self._pipeline is None:
            raise ArgumentError("this Analyzer is closed; create a new one")
        return self._pipeline


def _looks(pipeline: Pipeline, camera: Recording, source: str, *, still: bool) -> Iterator[AnalyzedFrame]:
    pipeline.reset()
    for look in looks(pipeline, camera, source, still=still):
        assert look is not None  # none is skipped
        yield look


def _config(given: Configuration | None) -> Config:
    if given is None or isinstance(given, Config):
        return given or Config()
    if not isinstance(given, Mapping):
        return load_config(_path(given))
    try:
        return parse_config(yaml.safe_dump(dict(given), sort_keys=False), name="config")
    except yaml.YAMLError as error:
        what = str(error).splitlines()[-1]
        raise ArgumentError(f"config: expected sections of plain numbers, texts, lists and dicts: {what}") from None


def _path(given: object) -> str:
    """Raises ArgumentError where it is none."""
    if isinstance(given, str | os.PathLike):
        return os.fsdecode(given)
    raise ArgumentError(
        f"expected a numpy array or a path, got {type(given).__name__}; "
        'a Pillow picture is np.asarray(picture) with colours="RGB"'
    )


def _bgr(image: NDArray[Any], colours: str) -> NDArray[np.uint8]:
    """Raises ArgumentError where it is no picture, or the colours have no such order."""
    kinds = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if image.dtype != np.uint8 or not kinds or 0 in image.shape:
        got = f"{image.dtype}{list(image.shape)}"
        hint = "; for values from 0 to 1: (255 * image).astype(np.uint8)" if image.dtype.kind == "f" else ""
        raise ArgumentError(f"image: expected uint8[height, width, 3], 4 or gray, got {got}{hint}")
    if colours not in ("BGR", "RGB"):
        raise ArgumentError(f'colours: expected "BGR" or "RGB", got {colours!r}')
    if colours == "RGB" and image.ndim == 3 and image.shape[2] > 1:
        image = image[:, :, 2::-1]
    return np.array(image, np.uint8, order="C")  # a copy: records are never written to


__all__ = ["Analyzer", "FilmFrame"]
