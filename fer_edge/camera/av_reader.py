"""Films and streams through PyAV: opened within limits, decoded frame by frame, damage counted.

One decoder, its threads and its pool of frames bounded. Nothing that was not decoded gets out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av

from fer_edge.camera.decoded_picture import Deinterlacer, FrameTimes, PictureMaker
from fer_edge.camera.decoder_memory import check_memory
from fer_edge.camera.http_pictures import HttpPictures, HttpSource, open_http
from fer_edge.camera.webp_film import TooLarge
from fer_edge.records import Image

log = logging.getLogger(__name__)

FILE_PROTOCOLS = "file,fd,pipe"
URL_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,srtp,rtsp,rtmp,rtmps,rtmpt,srt,hls,crypto,data"
FILE_FORMATS = (  # FFmpeg's demuxers: no lists of other files, no patterns of names, no devices, no scripts
    "mov,mp4,3gp,matroska,webm,avi,mpegts,mpeg,mpegvideo,vob,m4v,flv,live_flv,asf,ogg,mxf,nut,dv,wtv,rm,dhav,ivf,"
    "h261,h263,h264,hevc,vvc,av1,obu,vc1,cavsvideo,yuv4mpegpipe,gif,apng,webp,mjpeg,mjpeg_2000,mpjpeg,"
    "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,gif_pipe"
)
FORMATS = FILE_FORMATS + ",rtsp,rtp,sdp,hls"  # of a URL
CODECS = (  # FFmpeg's decoders: what cameras, phones, recorders and editors write
    "h264,hevc,vvc,av1,libdav1d,libaom-av1,vp8,vp9,libvpx,libvpx-vp9,mpeg1video,mpeg2video,mpegvideo,mpeg4,h261,h263,"
    "h263i,h263p,msmpeg4v1,msmpeg4v2,msmpeg4,wmv1,wmv2,wmv3,vc1,flv,vp3,vp6,vp6a,vp6f,theora,cavs,rv10,rv20,rv30,rv40,"
    "dvvideo,mjpeg,mjpegb,jpeg2000,jpegls,prores,dnxhd,cfhd,ffv1,ffvhuff,huffyuv,utvideo,magicyuv,qtrle,svq1,svq3,"
    "rawvideo,v210,v308,v408,v410,yuv4,r210,gif,apng,png,webp,bmp"
)
HTTP_FORMATS = ",".join(each for each in FORMATS.split(",") if "jpeg" not in each and not each.endswith("_pipe"))
"""Over HTTP: pictures, which may have no end, are read by `http_pictures`."""
PICTURE_FORMATS = ("jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe")
MOST_PX_FOR_TWO_THREADS = 2_300_000  # 1080p; every thread holds pictures of its own
MOST_PX = 8192 * 4352  # 8K; a decoder holds several pictures
MOST_BAD_IN_A_ROW = 500  # what keeps failing is no film
MOST_READ_ERRORS = 20
MOST_LOOKS = 10_000


class AvReader:
    """One open film or stream."""

    def __init__(self, source: str, *, timeout_seconds: float | None = None, memory_mb: int | None = None) -> None:
        """Open it. `timeout_seconds`: for a URL, how long it may be silent. Raises av.FFmpegError, and
        NoVideo where there is no picture in it, TooLarge where that takes more than `memory_mb`, or than is free."""
        av.logging.set_level(None)  # FFmpeg's findings are reported in one line
        self._is_url = timeout_seconds is not None
        self.bad = 0
        """Packets and frames that could not be decoded and were left out."""
        self._http = open_http(source, timeout_seconds) if timeout_seconds is not None else None
        try:
            self._container = _opened(source, timeout_seconds, self._http)
        except BaseException:
            self._give_back()
            raise
        self.stream = _film_stream(self._container)
        if self.stream is None:
            self.close()
            raise NoVideo
        context = self.stream.codec_context
        name = context.name if context else "an unknown codec"
        if name not in CODECS.split(","):
            self.close()
            raise UnknownCodec(f"is encoded as {name}, which is not read; expected H.264, H.265, AV1, MPEG or the like")
        if context.width * context.height > MOST_PX:
            self.close()
            raise TooLarge(f"has pictures of {context.width} x {context.height} px, expected at most {MOST_PX} pixels")
        try:
            check_memory(context, memory_mb)
        except TooLarge:
            self.close()
            raise
        context.options = {**context.options, "max_pixels": str(MOST_PX)}
        if context.name == "mjpeg":  # of a truncated picture it returns what there is, the rest gray, without an error
            context.options = {**context.options, "err_detect": "explode"}
        self.stream.thread_type = "SLICE" if self._is_url else "FRAME"
        pixels = self.stream.codec_context.width * self.stream.codec_context.height
        self.stream.codec_context.thread_count = 2 if pixels <= MOST_PX_FOR_TWO_THREADS else 1
        aspect = self.stream.sample_aspect_ratio
        self.picture = PictureMaker(aspect=float(aspect) if aspect and 0.1 < aspect < 10 else 1.0)
        self._deinterlace, self._times = Deinterlacer(), FrameTimes()

    @property
    def format(self) -> str:
        """FFmpeg's name of the container."""
        return str(self._container.format.name)

    @property
    def fps(self) -> float | None:
        """Frames a second as the container promises, None where it does not, or nonsense."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate and 0 < rate <= 1000 else None

    @property
    def frames(self) -> int | None:
        """How many frames the container promises: itself, or by its length and rate."""
        if self.stream.frames:
            return int(self.stream.frames)
        seconds = self.seconds
        return round(seconds * self.fps) or None if seconds and self.fps else None

    @property
    def seconds(self) -> float | None:
        """The length that the container promises. In an MP4 that is sent without one it is the first fragment's."""
        if self._http and self._http.kind == "stream" and self.format.startswith("mov"):
            return None
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    def packets(self) -> Iterator[Any]:
        """The film's packets; errors between packets are skipped, a few in a row. The last one is empty.

        Raises av.FFmpegError where reading fails for good."""
        errors = 0
        while True:
            try:
                for packet in self._container.demux(self.stream):
                    errors = 0
                    if self._http:
                        self._http.progressed()
                    yield packet
                return
            except (av.error.InvalidDataError, av.error.BlockingIOError) as error:
                looking = isinstance(error, av.error.BlockingIOError)  # for the next packet, 64 KB of damage at a time
                errors += 1
                self.bad += not looking or errors == 1
                if errors > (MOST_LOOKS if looking else MOST_READ_ERRORS):
                    raise

    def decoded(self, packet: Any) -> Iterator[av.VideoFrame]:
        """The frames that a packet completes; an empty packet: those that are left."""
        last = not packet.size and packet.dts is None
        if not packet.size and not last:  # the frame before is shown again: Theora, AVI
            return
        try:
            found = packet.decode()
        except av.error.EOFError:
            found = []
        except av.FFmpegError:  # no network is involved here: it is the packet
            self.bad += 1
            found = []
        for frame in found:
            assert isinstance(frame, av.VideoFrame)
            if _is_decoded(frame):
                yield from self._deinterlace(frame)
            else:
                self.bad += 1
        if last:
            yield from self._deinterlace(None)

    def frames_of_file(self) -> Iterator[tuple[Image, float | None]]:
        """Every picture u8[H,W,3] BGR of a film and its time in seconds, if it has one."""
        for packet in self.packets():  # no frame, which takes 64 MB in 8K, is held while its picture is processed
            found = [(self.picture(frame), self._times(frame)) for frame in self.decoded(packet)]
            self.picture.free_frames()
            yield from found

    def close(self) -> None:
        """Release everything."""
        with suppress(av.FFmpegError):
            self._container.close()
        self._give_back()

    def _give_back(self) -> None:
        if self._http:
            self._http.close()


class UnknownCodec(ValueError):
    """The film is encoded in a way that is not supported; the message names it."""


class NoVideo(Exception):
    """There is sound, or cover art, but no film."""


def _opened(source: str, timeout_seconds: float | None, http: HttpSource | None) -> Any:
    options = {"format_whitelist": FORMATS, "codec_whitelist": CODECS, "max_pixels": str(MOST_PX)}
    if timeout_seconds is None:
        options |= {"format_whitelist": FILE_FORMATS, "protocol_whitelist": FILE_PROTOCOLS}
        return av.open("file:" + source, options=options)
    if isinstance(http, HttpPictures) and http.kind == "picture":
        return av.open(http.whole(), options=options | {"format_whitelist": ",".join(PICTURE_FORMATS)})
    if http and http.kind == "pictures":
        # Cameras get the boundaries and lengths of multipart wrong: pictures are cut out by their own marks
        return av.open(http, format="mjpeg", options=options | {"fpsprobesize": "0", "analyzeduration": "1"})
    options |= {
        "protocol_whitelist": URL_PROTOCOLS,
        "rtsp_flags": "prefer_tcp",
        "analyzeduration": "2000000",
        "reconnect": "0",
    }
    if source.lower().startswith("http"):
        options["format_whitelist"] = HTTP_FORMATS
    silent = (timeout_seconds, timeout_seconds)
    if http:  # what a playlist names FFmpeg asks for itself
        return av.open(http, format="hls" if http.kind == "playlist" else None, options=options, timeout=silent)
    return av.open(source, options=options, timeout=silent)


def _film_stream(container: Any) -> Any:
    """The best stream of pictures that is no cover art."""
    films = [stream for stream in container.streams.video if not _is_cover(stream)]
    best = container.streams.best("video")
    return best if best in films else next(iter(films), None)


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", 0)
    return bool(int(getattr(disposition, "value", disposition)) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


def _is_decoded(frame: av.VideoFrame) -> bool:
    """Whether a decoder made all of it: it conceals what is missing and sets a flag."""
    return not frame.is_corrupt and frame.width > 0 and frame.height > 0
