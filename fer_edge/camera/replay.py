"""Pictures instead of a camera: one file, a folder, or the demo that runs without any hardware.

`camera.source` is a picture, a folder (its pictures by name, subfolders are left out), `demo`, or `demo:NAME` with
one of the pictures that come with the package. Pictures keep their own sizes up to `MAX_SIDE_PX`; the
demo is rendered at `camera.width` x `height`.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fer_edge.camera import FrameMaker, quiet_opencv, shown
from fer_edge.camera.decoder_words import decoder_words, jpeg_damage
from fer_edge.camera.demo import Picture, demo
from fer_edge.camera.file_kinds import HEAD_BYTES, RAW, RAW_KIND, kind_of, not_a_picture
from fer_edge.camera.folder import SUFFIXES, folder_files, is_listed, tell_left_out
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.pace import check_period, wait_until
from fer_edge.camera.picture_size import announced_pixels, has_film_beside, is_cut_off, is_heif, jpeg_frame
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame, Image
from fer_edge.runtime.count_text import bytes_text, counted, of_all

log = logging.getLogger(__name__)

PICTURES = Path(__file__).parent / "pictures"
MAX_SIDE_PX = 8192  # the most that config allows a camera
TOO_MANY_PIXELS = "has more than {} pixels; make it smaller"
MAX_PICTURE_BYTES = 300_000_000  # more than any format needs for as many pixels as are allowed


class ReplayCamera:
    """Replays `config.source` at `config.fps`.

    With `pace: real`, `read` returns each frame when it is due (a late reader gets the next one at once, one that
    is far behind gets slow motion), with `pace: max` at once. Either way `taken_ns` follows `fps`.
    """

    live = False
    colour = True

    def __init__(self, config: CameraConfig, *, with_films: bool = False) -> None:
        """`with_films`: the caller reads the films of a folder itself."""
        self._config, self._with_films = config, with_films
        self.title = shown(config.source)
        self._maker = FrameMaker(Orientation.of(config))
        self._pictures: Iterator[Picture] | None = None
        self._start_ns = 0
        self._count = 0
        self.picture: Path | None = None
        """The file of the frame read last; None in the demo, and before the first frame."""
        self.frames: int | None = None
        """How many there are, damaged ones included; None with `loop`, and before `open`."""
        self.damaged = 0
        """How many pictures could not be decoded and were skipped."""
        self.films_inside = 0
        """How many pictures have a film in their file, which is not read."""

    @property
    def note(self) -> str | None:
        """What is left out though nothing is wrong."""
        return films_beside(self.films_inside) if self.films_inside else None

    @property
    def trouble(self) -> str | None:
        """What could not be read, as a report states it."""
        return f"{of_all(self.damaged, self.frames or 0, 'picture')} could not be decoded" if self.damaged else None

    def open(self) -> None:
        """Find the pictures. Raises CameraError where there are none, where a single one cannot be decoded, or where
        the demo is misnamed."""
        quiet_opencv()
        config = self._config
        if config.pace == "real":
            check_period(config)
        self._pictures, count = self._find()
        self.frames = None if config.loop else count
        self._start_ns = self._maker.start_ns()
        self._count = 0

    def read(self) -> Frame | None:
        """Return the next picture; None after the last one (never with `loop`). Raises CameraError where not one
        picture of a folder could be decoded."""
        if self._pictures is None:
            raise CameraError(f"camera.source {self.title!r} is not open")
        found = next(self._pictures, None)
        if found is None:
            return None
        self.picture, image = found
        due_ns = self._start_ns + round(self._count * 1e9 / self._config.fps)
        self._count += 1
        if self._config.pace == "max":
            return self._maker.make(image, taken_ns=due_ns)
        taken_ns = wait_until(due_ns)
        self._start_ns += taken_ns - due_ns
        return self._maker.make(image, taken_ns=taken_ns)

    def close(self) -> None:
        """Forget the pictures."""
        self._pictures = None

    def _find(self) -> tuple[Iterator[Picture], int]:
        """Find the pictures that `config.source` means, and their number."""
        config = self._config
        scene, colon, name = config.source.partition(":")
        if scene == "demo":
            return demo(name if colon else "both", config, lambda file: read_picture(PICTURES / file))
        path = Path(config.source)
        if os.path.isdir(path):  # Path.is_dir raises where a folder above may not be entered
            paths = _in_folder(path, with_films=self._with_films)
            return self._decoded(paths), len(paths)
        if not os.path.exists(path):
            what = f"{self.title} does not exist"
            raise CameraError(f"camera.source {what}; expected a picture, a folder of pictures, or demo")
        read_picture(path)  # a folder may hold a bad picture, but this one is all there is
        return self._decoded([path]), 1

    def _decoded(self, paths: list[Path]) -> Iterator[Picture]:
        good = []
        for path in paths:
            try:
                data = _bytes_of(path)
                image, film = decode_picture(path, data), has_film_beside(data)
            except CameraError as error:
                log.warning("%s, skipped", error)
                self.damaged += 1
                continue
            good.append(path)
            self.films_inside += film
            yield path, image
        if self.note:
            log.warning("%s: %s", self.title, self.note)
        if not good:
            raise CameraError(f"none of the {counted(len(paths), 'picture')} in {paths[0].parent} can be decoded")
        while self._config.loop:
            yield from self._again(good)

    def _again(self, paths: list[Path]) -> Iterator[Picture]:
        """Another round; a picture that was deleted meanwhile is left out, and all of them gone is the end."""
        found = 0
        for path in paths:
            try:
                yield path, read_picture(path)
                found += 1
            except CameraError as error:
                log.warning("%s, skipped", error)
        if not found:
            raise CameraError(f"none of the {counted(len(paths), 'picture')} in {paths[0].parent} can be read any more")


def _in_folder(folder: Path, *, with_films: bool) -> list[Path]:
    found = folder_files(folder)
    paths = [path for path in found if is_listed(path)]
    tell_left_out(folder, found, with_films=with_films)
    if not paths:
        raise CameraError(
            f"camera.source {folder} contains no pictures; expected files that end in {' '.join(SUFFIXES)}"
        )
    return paths


def read_picture(path: Path) -> Image:
    """Read a picture file as u8[H,W,3] BGR, turned by its EXIF orientation, without alpha, its long side at most
    MAX_SIDE_PX.

    A large JPEG is never decoded in full. Other formats are, before they are made smaller: for a moment that takes
    3 bytes a pixel or more. One whose header announces more pixels than OPENCV_IO_MAX_IMAGE_PIXELS
    (fer_edge/__init__.py) is refused before there is room for them; GIF and JPEG 2000 count double.

    Raises:
        CameraError: the file cannot be read or decoded.

    """
    return decode_picture(path, _bytes_of(path))


def decode_picture(path: Path, data: bytes) -> Image:
    """The same of a file's content: u8[H,W,3] BGR. Raises CameraError."""
    if is_heif(data):
        return _shrunk(_heif(path, data))
    kind = RAW_KIND if path.suffix.lower() in RAW else kind_of(data[:HEAD_BYTES])
    pixels = announced_pixels(data)
    if pixels is None or kind is RAW_KIND:  # OpenCV would read the preview in it
        raise CameraError(f"{path}: cannot be decoded{not_a_picture(kind)}")
    if pixels > max_pixels():
        raise CameraError(f"{path}: {TOO_MANY_PIXELS.format(max_pixels())}")
    try:
        with decoder_words() as words:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _flags(data))
    except cv2.error as error:  # an empty file, or more pixels than OpenCV allows
        if "MAX_IMAGE" in str(error):
            raise CameraError(f"{path}: {TOO_MANY_PIXELS.format(max_pixels())}") from None
        image = None
    damage = jpeg_damage(words)
    if is_cut_off(data):
        raise CameraError(f"{path}: cannot be decoded: it is truncated")
    if image is None or damage:
        raise CameraError(f"{path}: {f'is damaged ({damage})' if damage else 'cannot be decoded'}")
    return _shrunk(image.astype(np.uint8, copy=False))


def films_beside(count: int) -> str:
    """That so many pictures, at least one, have a film in their file that is not read: live and motion photos."""
    if count == 1:
        return "the film or sequence beside 1 picture is not read"
    return f"the films or sequences beside {counted(count, 'picture')} are not read"


def _heif(path: Path, data: bytes) -> Image:
    from fer_edge.camera.heif import NoHeif, TooManyPixels, decode_heif  # here: PyAV takes 17 MB

    try:
        return decode_heif(data, most_pixels=max_pixels())
    except TooManyPixels:
        raise CameraError(f"{path}: {TOO_MANY_PIXELS.format(max_pixels())}") from None
    except NoHeif as error:
        raise CameraError(f"{path}: {error}") from None


def max_pixels() -> int:
    """The most a picture may have, by its header."""
    return int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])


def _bytes_of(path: Path) -> bytes:
    """A picture file's content. Raises CameraError, also where it is too large or no file: a pipe or a device would be
    read without an end."""
    try:
        found = path.stat()
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        if size <= MAX_PICTURE_BYTES and not _is_endless(found.st_mode):
            return path.read_bytes()
    except OSError as error:
        raise CameraError(f"{path}: cannot be read: {error.strerror}") from None
    large = f"has {bytes_text(size)}, expected at most {MAX_PICTURE_BYTES}; make it smaller"
    raise CameraError(f"{path}: {large if size else 'not a regular file; expected a picture'}")


def _is_endless(mode: int) -> bool:
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))  # reading a folder fails with words of its own


def _shrunk(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = MAX_SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _flags(data: bytes) -> int:
    """How to decode: JPEGs can be had at 1/2, 1/4 and 1/8, which costs less time and memory than the whole."""
    side = max(jpeg_frame(data)[1:])
    if side <= MAX_SIDE_PX:
        return cv2.IMREAD_COLOR
    if side <= 2 * MAX_SIDE_PX:
        return cv2.IMREAD_REDUCED_COLOR_2
    return cv2.IMREAD_REDUCED_COLOR_4 if side <= 4 * MAX_SIDE_PX else cv2.IMREAD_REDUCED_COLOR_8
