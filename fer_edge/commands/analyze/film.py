"""The annotated film: H.264 in MP4, which browsers play.

While it grows it is a fragmented MP4 made of sections of SECTION_FRAMES frames: each has an encoder of its own, begins
with a key frame and is appended whole. So a run that is killed leaves a film that plays up to its last section, and
another process can continue after any of them. When all is done it becomes a plain MP4 with its index first.

Needs PyAV (extra `analyze`), whose wheels bundle FFmpeg and x264.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from fer_edge.errors import SinkError
from fer_edge.records import Image
from fer_edge.runtime.atomic_file import FOR_ALL, create_beside

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

SECTION_FRAMES = 120
TICKS = 90_000  # a second, as is usual in MPEG; 11 us each
TIME_BASE = Fraction(1, TICKS)
ENCODER = "libx264"
BT_601 = 6  # AVCOL_SPC_SMPTE170M
RATE = 30  # frames a second, for the encoder to reckon with, the same in all sections; frames have times of their own
QUALITY = {"preset": "veryfast", "crf": "23", "bf": "0"}  # no B-frames: frames leave in the order in which they come
GROWING = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
    "video_track_timescale": str(TICKS),
    "fflags": "+bitexact",  # nothing of the time at which it was made
}
PLAIN = {"movflags": "faststart", "video_track_timescale": str(TICKS), "fflags": "+bitexact"}
MOST_PX = 4096  # of a side: H.264 level 5.2, the last that browsers' hardware decoders promise


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a film has come."""

    bytes: int = 0
    fragments: int = 0
    ticks: int = -1  # of its last frame
    period: int = 0  # ticks between its last two frames
    size: tuple[int, int] | None = None  # width and height in px, both even; None: no frame yet


class Film:
    """Writes pictures as a film. All methods raise OSError where the file cannot be written."""

    def __init__(self, path: Path) -> None:
        """Raises SinkError where PyAV is missing."""
        self._av, self._path = load_av(), path
        self._reached = Reached()
        self._section: _Section | None = None

    def start(self, reached: Reached | None = None) -> None:
        """Begin, or continue after what was reached."""
        self._reached = reached or Reached()
        with self._path.open("ab") as file:
            file.truncate(self._reached.bytes)

    def add(self, image: Image, t_ns: int) -> None:
        """A picture u8[H,W,3] BGR and its time since the beginning, in ns. Pictures must come in their order."""
        now = self._reached
        last = self._section.last if self._section else now.ticks
        ticks = max(last + 1, round(t_ns * TICKS / 1e9))
        size = now.size or _even(image)
        period = ticks - last if last >= 0 else now.period
        self._reached = Reached(now.bytes, now.fragments, now.ticks, period, size)
        self._section = self._section or _Section(self._av, size, number=now.fragments + 1, first=ticks)
        self._section.add(_fitted(image, size), ticks)

    def section(self) -> None:
        """Append what came since the last section."""
        now, section, self._section = self._reached, self._section, None
        if section is None:
            return
        encoded = boxes(section.ended(now.period or TICKS))
        data = b"".join(
            _shifted(box, section.first) for box in encoded if not now.bytes or box[4:8] not in (b"ftyp", b"moov")
        )
        _append(self._path, data, at=now.bytes)
        fragments = now.fragments + sum(box[4:8] == b"moof" for box in boxes(data))
        self._reached = Reached(now.bytes + len(data), fragments, section.last, now.period, now.size)

    @property
    def reached(self) -> Reached:
        """How far it has come, with all sections that are done."""
        return self._reached

    def close(self) -> None:
        """Leave out the section that has begun."""
        if self._section:
            self._section.ended(TICKS)
        self._section = None

    def plain(self) -> Path | None:
        """A plain MP4 with its index first, beside this file, to take its place; None where there was no picture."""
        if not self._reached.bytes:
            return None
        descriptor, path = create_beside(self._path, mode=FOR_ALL)
        os.close(descriptor)
        try:
            with (
                closing(self._av.open(str(self._path))) as source,
                closing(self._av.open(str(path), "w", format="mp4", options=PLAIN)) as target,
            ):
                _copy(source, target)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path


class _Section:
    """Pictures with an encoder and an MP4 of their own, whose time begins at 0."""

    def __init__(self, av: Any, size: tuple[int, int], *, number: int, first: int) -> None:
        """`number`: of its first fragment; `first`: ticks of its first picture."""
        self._av, self.first, self.last = av, first, first
        self._memory = _Memory()
        options = {**GROWING, "fragment_index": str(number)}
        self._container: OutputContainer = av.open(self._memory, "w", format="mp4", options=options)
        self._stream = _stream(self._container, size)
        self._held: Image | None = None  # until it is known how long it is shown

    def add(self, image: Image, ticks: int) -> None:
        """A picture of the film's size."""
        if self._held is not None:
            self._encode(self._held, ticks - self.last)
        self._held, self.last = image, ticks

    def ended(self, period: int) -> bytes:
        """The whole MP4; its last picture is shown for so many ticks."""
        if self._held is not None:
            self._encode(self._held, period)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return bytes(self._memory.data)

    def _encode(self, image: Image, period: int) -> None:
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)  # quicker than FFmpeg's way
        frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.duration, frame.time_base = self.last - self.first, period, TIME_BASE
        self._container.mux(self._stream.encode(frame))


def load_av() -> Any:
    """PyAV. Raises SinkError where it is missing, or has no H.264 encoder."""
    try:
        av = import_module("av")
    except ImportError as error:
        raise SinkError(f"--video needs PyAV: pip install 'fer-edge[analyze]' ({error})") from None
    if ENCODER not in av.codecs_available:
        raise SinkError(f"--video needs a PyAV with the encoder {ENCODER}, as its own wheels have: pip install av")
    return av


def boxes(data: bytes) -> Iterator[bytes]:
    """The boxes of an MP4 (ISO/IEC 14496-12), or of one's payload, one after the other."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at : at + size]
        at += size


def _shifted(box: bytes, ticks: int) -> bytes:
    """A box whose fragments, if it has any, begin later by so many ticks."""
    kind, body = box[4:8], box[8:]
    if kind in (b"moof", b"traf"):
        body = b"".join(_shifted(inner, ticks) for inner in boxes(body))
    elif kind == b"tfdt":  # version and flags, then the time: of 4 bytes in version 0, of 8 in version 1
        body = b"\1" + body[1:4] + (int.from_bytes(body[4:]) + ticks).to_bytes(8)
        assert len(body) + 8 == len(box), "the muxer wrote a tfdt of version 0"
    return box[:8] + body


class _Memory:
    """A file in memory that cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        """See io.RawIOBase.write."""
        self.data += data
        return len(data)


def _stream(container: OutputContainer, size: tuple[int, int]) -> VideoStream:
    stream = cast("VideoStream", container.add_stream(ENCODER, rate=RATE, options=QUALITY))
    stream.width, stream.height = size
    stream.pix_fmt, stream.time_base = "yuv420p", TIME_BASE
    stream.codec_context.time_base = TIME_BASE
    stream.codec_context.gop_size = SECTION_FRAMES
    stream.codec_context.colorspace = BT_601  # what OpenCV converts to, whatever players expect of a size
    return stream


def _copy(source: InputContainer, target: OutputContainer) -> None:
    """The same frames, packed otherwise."""
    (stream,) = source.streams.video
    copy = target.add_stream_from_template(stream)
    for packet in source.demux(stream):
        if packet.dts is not None:  # None: the end
            packet.stream = copy
            target.mux(packet)


def _append(path: Path, data: bytes, *, at: int) -> None:
    """Write to a file's end; where that fails, none of it stays."""
    with path.open("r+b", buffering=0) as file:
        file.seek(at)
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(at)
            raise


def _even(image: Image) -> tuple[int, int]:
    """Width and height for a film of such pictures: even, as yuv420p needs, and not too large for decoders."""
    height, width = image.shape[:2]
    scale = min(1.0, MOST_PX / max(height, width))
    return max(16, round(width * scale + 1) // 2 * 2), max(16, round(height * scale + 1) // 2 * 2)


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """A picture in the film's size: as it is, an odd edge doubled; others made to fit, with black beside them."""
    height, width = image.shape[:2]
    right, below = size[0] - width, size[1] - height
    if right == below == 0:
        return image.copy()
    if 0 <= right <= 1 and 0 <= below <= 1:
        return _u8(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE))
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, below = size[0] - inner[0], size[1] - inner[1]
    left, top = right // 2, below // 2
    return _u8(cv2.copyMakeBorder(small, top, below - top, left, right - left, cv2.BORDER_CONSTANT))


def _u8(array: Any) -> Image:
    return np.asarray(array, np.uint8)
