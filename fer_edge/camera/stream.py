"""Video files, RTSP and HTTP streams, as PyAV reads them.

A URL (anything with `://`) is a live camera: its end, or a break, is a CameraError and the daemon connects
again. A film at an HTTP address has an end, and so has a file; `camera.pace` sets whether it runs in real time or as
fast as it is read. An address that gives a single picture is a camera for snapshots, asked `camera.fps` times a second.
Frames come in the size that the source has, their long side at most 1920 px; `camera.width`, `height` and
`fps` play no other part.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av

from fer_edge.camera import FrameMaker, LeftOut, shown
from fer_edge.camera.av_reader import MOST_BAD_IN_A_ROW, MOST_PX, PICTURE_FORMATS, AvReader, NoVideo, UnknownCodec
from fer_edge.camera.connection import reason
from fer_edge.camera.container_damage import damaged_places
from fer_edge.camera.container_length import missing_bytes
from fer_edge.camera.credentials import with_password
from fer_edge.camera.file_clock import LONGEST_STEP_MS, FileClock
from fer_edge.camera.file_kinds import STDIN, check_film, file_kind, not_a_film
from fer_edge.camera.http_pictures import BadAnswer
from fer_edge.camera.live_packets import LivePackets
from fer_edge.camera.losses import Losses
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.pace import check_period, wait_until
from fer_edge.camera.picture_size import is_animated_webp
from fer_edge.camera.webp_film import TooLarge, WebpReader
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame, Image
from fer_edge.runtime.count_text import counted, of_all

log = logging.getLogger(__name__)

RESTARTING = ("mpegts", "mpeg")  # containers of recordings that may be joined of several, each with times of its own
LAG_WARNING_SECONDS = 1.0
LONGEST_WITHOUT_PICTURE_SECONDS = 0.5


class StreamCamera:
    """Reads `config.source`, a video file or a URL."""

    colour = True

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._is_url = "://" in config.source.removeprefix("file://")
        self._source = _path(with_password(config.source, config.password_file) if self._is_url else config.source)
        self.title = shown(self._source)  # passwords stay out of messages
        self._maker = FrameMaker(Orientation.of(config))
        self._reader: AvReader | WebpReader | None = None
        self._pictures: Iterator[tuple[Image, float | None]] = iter(())
        self._packets: LivePackets | None = None
        self._ready: list[tuple[Image, int]] = []  # decoded, and not read yet
        self._arrivals: dict[int, int] = {}  # when packets came, by their time stamp
        self._clock = FileClock(0, period_ns=1)
        self._losses = Losses(1.0)
        self._count = 0  # frames since the start of the file
        self._logged: set[str] = set()
        self._next_snapshot = 0.0
        self._made_s = 0.0  # when a picture was last made of a live stream's frame
        self.live = self._is_url
        self.frames: int | None = None
        """How many frames the file promises; None where it does not, for a URL, and with `loop`."""
        self.damaged = 0
        """How often the file ended early, and frames of it that could not be decoded."""
        self.trouble: str | None = None
        """What was wrong with the file, known at its end."""
        self.note: str | None = None  # nothing is left out of a film
        self._left_out = LeftOut()  # before this connection
        self.picture: Path | None = None  # frames of a film have no files of their own

    def open(self) -> None:
        """Connect, or open the file. Raises CameraError (CameraTimeout: a URL that does not answer)."""
        if not self._is_url:
            check_film(self._source)
        self._start(self._maker.start_ns())

    def read(self) -> Frame | None:
        """Return the next frame; None at the end of a file.

        Raises CameraError when a URL's stream ended or broke, CameraTimeout when it is silent.
        """
        if self._reader is None:
            raise CameraError(f"{self.title} is not open")
        if self._packets and isinstance(self._reader, AvReader):
            return self._newest(self._packets, self._reader)
        try:
            found = next(self._pictures, None)
        except av.FFmpegError as error:
            found = None
            self._note(f"reading failed after {counted(self._count, 'frame')}: {error.strerror}")
        if found:
            return self._paced(*found)
        if self._is_url and self._reader.format in PICTURE_FORMATS:
            return self._snapshot()
        self._check_end(self._reader)
        return self._restart() if self._config.loop else None

    @property
    def left_out(self) -> LeftOut:
        """Frames that came and were not delivered, since the start."""
        late = self._packets.skipped if self._packets else 0
        return LeftOut(self._left_out.late + late, self._left_out.damaged + (self._reader.bad if self._reader else 0))

    def close(self) -> None:
        """Disconnect."""
        self._left_out = self.left_out
        if self._packets is not None:
            self._packets.close()  # its thread closes the reader
        elif self._reader is not None:
            self._reader.close()
        self._reader = self._packets = None
        self._ready.clear()
        self._arrivals.clear()

    def _start(self, start_ns: int) -> None:
        began = time.monotonic()
        try:
            self._reader = self._opened()
        except NoVideo:
            raise CameraError(f"{self.title} contains no video: only sound, or a cover picture") from None
        except (av.FFmpegError, ValueError) as error:
            raise self._refused(error, time.monotonic() - began) from None
        period_ns = round(1e9 / (self._reader.fps or self._config.fps))
        restarts = self._reader.format in RESTARTING
        self._clock = FileClock(start_ns, period_ns=period_ns, restarts=restarts)
        self._losses = Losses(period_ns / 1e9, longest_s=LONGEST_STEP_MS / 1e3 if restarts else math.inf)
        self._count = 0
        self._start_reading(self._reader)

    def _opened(self) -> AvReader | WebpReader:
        if self._is_url:
            silent_seconds = max(0.001, self._config.timeout_seconds)
            return AvReader(self._source, timeout_seconds=silent_seconds, memory_mb=self._config.decoder_memory_mb)
        if _is_webp_film(self._source):
            return WebpReader(self._source, most_px=MOST_PX)
        return AvReader(self._source, memory_mb=self._config.decoder_memory_mb)

    def _start_reading(self, reader: AvReader | WebpReader) -> None:
        snapshots = self._is_url and reader.format in PICTURE_FORMATS
        if snapshots:
            self._check_period()
        film = self._is_url and self._source.startswith("http") and reader.format not in ("hls",) and reader.seconds
        self.live = self._is_url and not film
        self.frames = None if self.live or self._config.loop else reader.frames
        if self.live and not snapshots and isinstance(reader, AvReader):
            self._packets = LivePackets(reader)
        else:
            self._pictures = reader.frames_of_file()

    def _check_period(self) -> None:
        try:
            check_period(self._config)
        except CameraError:
            self.close()  # the address was open, to see that it gives pictures
            raise

    def _newest(self, packets: LivePackets, reader: AvReader) -> Frame:
        """The next frame of a live stream: the packets before the newest key frame are left out where the machine is
        too slow for them. Its time is when its packet came."""
        began, bad = time.monotonic(), 0
        while not self._ready:
            left = self._config.timeout_seconds - (time.monotonic() - began)
            try:
                arrived = packets.take(max(0.0, left))
            except TimeoutError:
                raise CameraTimeout(f"{self.title} sent no frame within {self._config.timeout_seconds:g} s") from None
            except av.FFmpegError as error:
                raise self._lost(error) from None
            if arrived is None:
                raise self._lost(None)
            before = reader.bad
            self._decode(arrived.packet, arrived.at_ns, reader, packets)
            bad = bad + reader.bad - before
            if bad > MOST_BAD_IN_A_ROW:
                raise CameraError(f"{self.title}: {counted(bad, 'frame')} in a row could not be decoded")
        image, taken_ns = self._ready.pop(0)
        self._tell_lag(packets, reader, taken_ns)
        return self._maker.make(image, taken_ns=taken_ns)

    def _decode(self, packet: Any, at_ns: int, reader: AvReader, packets: LivePackets) -> None:
        """What is old is decoded, as what comes after it needs it, but no picture is made of it; one in a while is, so
        that a machine that never gets there shows something."""
        now_s = time.monotonic()
        late = packets.behind(at_ns) and now_s - self._made_s < LONGEST_WITHOUT_PICTURE_SECONDS
        if packet.pts is not None:
            self._arrivals[packet.pts] = at_ns
        if len(self._arrivals) > 64:
            del self._arrivals[next(iter(self._arrivals))]
        for frame in reader.decoded(packet):
            taken_ns = self._arrivals.pop(frame.pts, at_ns) if frame.pts is not None else at_ns
            if late:
                packets.skipped += 1
                continue
            self._ready.append((reader.picture(frame), taken_ns))
            self._made_s = now_s

    def _tell_lag(self, packets: LivePackets, reader: AvReader, taken_ns: int) -> None:
        lag = (time.monotonic_ns() - taken_ns) / 1e9
        if packets.skipped or lag > LAG_WARNING_SECONDS:
            self._tell("this machine is too slow for the stream; frames are left out to stay with the newest")
        if reader.bad:
            self._tell("frames that could not be decoded are left out")
        self._tell_transfer(reader)

    def _tell_transfer(self, reader: AvReader | WebpReader) -> None:
        if reader.picture.transfer:
            self._tell(f"HDR ({reader.picture.transfer}), tone-mapped")

    def _tell(self, what: str) -> None:
        """Warn, once."""
        if what not in self._logged:
            self._logged.add(what)
            log.warning("%s: %s", self.title, what)

    def _snapshot(self) -> Frame:
        """Ask for the next picture when it is due."""
        self._next_snapshot = max(self._next_snapshot + 1 / self._config.fps, time.monotonic())
        time.sleep(max(0.0, self._next_snapshot - time.monotonic()))
        self.close()
        self._start(self._maker.start_ns())
        try:
            found = next(self._pictures, None)
        except av.FFmpegError:
            found = None
        if found is None:
            raise CameraError(f"{self.title}: the picture cannot be decoded")
        return self._maker.make(found[0], taken_ns=time.monotonic_ns())

    def _paced(self, image: Image, position_s: float | None) -> Frame:
        if self.live:  # the first snapshot
            self._next_snapshot = time.monotonic()
            return self._maker.make(image, taken_ns=time.monotonic_ns())
        if self._reader:
            self._tell_transfer(self._reader)
            self._losses.frame(self._reader.bad, position_s)
        step_ns = self._clock.step_ns((position_s or 0.0) * 1e3, hole=self._losses.recent)
        if self._config.pace == "real":  # a gap in a recording must not look like a camera that hangs
            step_ns = min(step_ns, round(self._config.timeout_seconds * 1e9))
        taken_ns = self._clock.advance(step_ns)
        if self._config.pace == "real":
            taken_ns = self._clock.advance(wait_until(taken_ns) - taken_ns)
        self._count += 1
        return self._maker.make(image, taken_ns=taken_ns)

    def _check_end(self, reader: AvReader | WebpReader) -> None:
        """Warn where a file ended early, or frames of it could not be decoded."""
        if self._count == 0:
            hint = f"does it play elsewhere? More than {MOST_PX} pixels are not read"
            raise CameraError(f"{self.title} contains no picture that can be decoded; {hint}")
        self._losses.end(reader.bad)
        places = [] if self._is_url or self._config.loop else damaged_places(self._source)
        self._losses.damaged(places, until_s=reader.seconds)
        if self._losses.frames:
            self.damaged += self._losses.frames
            self._note(self._losses.summary())
        index_alone = reader.format == "avi" and self._count >= (reader.frames or self._count + 1)
        stopped = bool(places) and reader.format.startswith("mov") and not self._losses.frames  # a fragment's head
        if stopped or (not self._is_url and not index_alone and missing_bytes(self._source)):
            promised = reader.frames if reader.frames and reader.frames > self._count else 0
            frames = of_all(self._count, promised, "frame") if promised else counted(self._count, "frame")
            self._note(f"ended after {frames}, truncated or damaged")

    def _note(self, trouble: str) -> None:
        self.damaged = max(1, self.damaged)
        if trouble not in (self.trouble or ""):  # with `loop` each round finds the same
            self.trouble = f"{self.trouble}; {trouble}" if self.trouble else trouble
        log.warning("%s: %s", self.title, trouble)

    def _restart(self) -> Frame | None:
        # reopened: not every container can seek back to its start
        next_ns = self._clock.advance(self._clock.period_ns)
        self.close()
        self._start(next_ns)
        return self.read()

    def _refused(self, error: Exception, seconds: float) -> CameraError:
        if isinstance(error, (TooLarge, UnknownCodec)):
            return CameraError(f"{self.title} {error}")
        if isinstance(error, BadAnswer):
            return CameraError(f"{self.title} cannot be opened: {error.strerror}")
        if not self._is_url:
            if isinstance(error, av.error.DecoderNotFoundError):
                return CameraError(f"{self.title} cannot be decoded here: this PyAV has no decoder for it")
            return CameraError(f"{self.title} cannot be read as a video{not_a_film(file_kind(self._source))}")
        if isinstance(error, (av.error.ExitError, av.error.TimeoutError)) or (
            seconds >= 0.9 * self._config.timeout_seconds
        ):
            return CameraTimeout(f"{self.title} did not answer within {self._config.timeout_seconds:g} s")
        return CameraError(f"{self.title} cannot be opened: {reason(error, self._source)}")

    def _lost(self, error: av.FFmpegError | None) -> CameraError:
        if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
            return CameraTimeout(f"{self.title} sent no frame within {self._config.timeout_seconds:g} s")
        if isinstance(error, BadAnswer):
            return CameraError(f"{self.title}: {error.strerror}")
        return CameraError(f"{self.title}: the stream ended or the connection was lost")


def _is_webp_film(path: str) -> bool:
    if not os.path.isfile(path):  # a FIFO may be read only once
        return False
    with open(path, "rb") as file:
        return is_animated_webp(file.read(32))


def _path(source: str) -> str:
    """A `file://` address as the path that it means, `-` as standard input; all else as it is."""
    if source == "-":
        return STDIN
    return unquote(source.removeprefix("file://"), errors="surrogateescape") if source.startswith("file://") else source
