"""From a decoded frame to the picture as it is meant to be seen: deinterlaced, upright, with square pixels, in SDR."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, cast

import av
import av.filter
import cv2
import numpy as np

from fer_edge.camera.orientation import Orientation
from fer_edge.records import Image

MOST_SIDE_PX = 1920  # larger films are scaled down while they are converted; the detector's input is far smaller
LARGE_PX = 3840 * 2160
PQ, HLG = 16, 18  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
TRANSFERS = {PQ: "PQ", HLG: "HLG"}
WHITE_NITS = 203.0  # of diffuse white in HDR, ITU-R BT.2408


class PictureMaker:
    """Turns frames of one stream into pictures u8[H,W,3] BGR."""

    def __init__(self, *, aspect: float = 1.0) -> None:
        """`aspect`: width of a pixel by its height."""
        self._aspect = aspect
        self._tables: dict[int, Image] = {}
        self._orientations: dict[int, Orientation] = {}
        self._held = False
        self.transfer: str | None = None
        """The HDR transfer that is tone-mapped; None for an ordinary film."""

    def __call__(self, frame: av.VideoFrame) -> Image:
        """The picture that a frame shows."""
        width, height = fitted(frame.width, frame.height, self._aspect)
        image = _as_bgr(frame, width, height)
        transfer = int(getattr(frame, "color_trc", 0) or 0)
        if transfer in TRANSFERS:
            self.transfer = TRANSFERS[transfer]
            image = np.asarray(cv2.LUT(image, self._table(transfer)), np.uint8)
        return self._orientation(frame)(np.asarray(image, np.uint8))

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """Asked of the first frame, and where the rotation changes: PyAV's side data and their frame hold each other
        in memory until `free_frames`, or the garbage collector, runs."""
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = display_orientation(frame)
            self._held = frame.width * frame.height >= LARGE_PX
        return self._orientations[frame.rotation]

    def free_frames(self) -> None:
        """Free a large frame that is held though nothing refers to it any more: in 8K it takes 64 MB."""
        if self._held:
            self._held = False
            gc.collect()

    def _table(self, transfer: int) -> Image:
        if transfer not in self._tables:
            self._tables[transfer] = tone_table(transfer)
        return self._tables[transfer]


def _as_bgr(frame: av.VideoFrame, width: int, height: int) -> Any:
    """OpenCV converts the most usual format in half the time that FFmpeg takes."""
    even = not (width % 2 or height % 2)
    same = (width, height) == (frame.width, frame.height) and even
    if same and frame.format.name == "yuv420p" and int(frame.color_range or 0) != FULL_RANGE:
        return cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2BGR_I420)
    return frame.to_ndarray(format="bgr24", width=width, height=height)


def fitted(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The size with square pixels, its long side at most MOST_SIDE_PX. Odd widths are kept."""
    wide = width * aspect
    scale = min(1.0, MOST_SIDE_PX / max(wide, height))
    return max(1, round(wide * scale)), max(1, round(height * scale))


def display_orientation(frame: av.VideoFrame) -> Orientation:
    """How a frame is to be turned and mirrored: its display matrix, int32[9] in rows, maps (x, y) to
    (a x + c y, b x + d y). Turns by other than quarters are left alone."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(cast(Any, data)), np.int32)[:5].tolist()
    if abs(a) > abs(b):
        return Orientation(hflip=a < 0, vflip=d < 0)
    return Orientation(quarter=True, hflip=c > 0, vflip=b < 0) if b or c else Orientation()


def tone_table(transfer: int) -> Image:
    """u8[256]: what a value of an HDR signal is in SDR. Diffuse white and all below stay apart, highlights are
    compressed (Reinhard's curve with a white point)."""
    signal = np.arange(256) / 255.0
    linear = (_pq(signal) if transfer == PQ else _hlg(signal)) / WHITE_NITS
    white = linear[-1]
    mapped = linear * (1 + linear / white**2) / (1 + linear)
    return np.asarray((np.clip(mapped, 0, 1) ** (1 / 2.2) * 255).round(), np.uint8)


def _pq(signal: np.ndarray[Any, Any]) -> Any:
    """SMPTE ST 2084, in nits; what lies above 1000 is as bright as that."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    nits = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.minimum(nits, 1000)


def _hlg(signal: np.ndarray[Any, Any]) -> Any:
    """ITU-R BT.2100, on a display of 1000 nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return 1000 * scene**1.2


class FrameTimes:
    """When frames are to be shown, in seconds. Containers such as AVI store no such time, only that of decoding: where
    the former runs backwards more often than the latter, the latter counts (as in FFmpeg's own players)."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._backwards = {"pts": 0, "dts": 0}

    def __call__(self, frame: av.VideoFrame) -> float | None:
        """The time of the next frame, None where it has none."""
        times = {"pts": frame.pts, "dts": frame.dts}
        for name, time in times.items():
            if time is not None:
                self._backwards[name] += time <= self._last.get(name, time - 1)
                self._last[name] = time
        pts, dts = times["pts"], times["dts"]
        chosen = pts if dts is None or self._backwards["pts"] <= self._backwards["dts"] else dts
        chosen = dts if chosen is None else chosen
        return None if chosen is None or frame.time_base is None else float(chosen * frame.time_base)


class Deinterlacer:
    """Passes progressive frames on untouched; from the first interlaced one on, all go through FFmpeg's bwdif, which
    leaves those that are progressive alone. It holds one frame back."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[Any, ...] = ()

    def __call__(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Frames that are done; None: the stream is over."""
        if frame is None:
            yield from self._flushed()
            return
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph and shape != self._shape:
            yield from self._flushed()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame
                return
            self._graph, self._shape = _graph(frame), shape
        self._graph.push(frame)
        yield from self._pulled()

    def _flushed(self) -> Iterator[av.VideoFrame]:
        if self._graph:
            self._graph.push(None)
            yield from self._pulled()
        self._graph = None

    def _pulled(self) -> Iterator[av.VideoFrame]:
        assert self._graph
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, av.VideoFrame)
            yield frame


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    if hasattr(graph, "threads"):
        graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    name = "bwdif" if "bwdif" in av.filter.filters_available else "yadif"
    middle = graph.add(name, "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    return graph
