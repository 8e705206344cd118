"""Which containers and codecs are opened at all: no more of FFmpeg than films and cameras need."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fer_edge.camera.av_reader import CODECS, FILE_FORMATS, FILE_PROTOCOLS, FORMATS, URL_PROTOCOLS
from fer_edge.camera.folder import FILMS
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Image
from tests.support.films import write_avi
from tests.support.kinds_of_film import NEEDS_FFMPEG, ffmpeg, frames_of, make_film

OPENS_MORE = {  # demuxers that open other files or hosts, run scripts, read devices, or take a name for a pattern
    *("concat", "concatf", "dash", "imf", "image2", "image2pipe", "image2_alias_pix", "image2_brender_pix"),
    *("lavfi", "avisynth", "vapoursynth", "webm_dash_manifest", "ffmetadata", "tedcaptions", "sln", "libcdio"),
    *("v4l2", "video4linux2,v4l2", "x11grab", "fbdev", "kmsgrab", "alsa", "pulse", "jack", "openal", "sndio", "oss"),
}
OPENS_HOSTS = {"hls", "rtsp", "rtp", "sdp"}

ODD = {  # what FFmpeg would take for the name of a format, by content, suffix or name
    "concat.mp4": "ffconcat version 1.0\nfile {film}\n",
    "concat_of_a_url.mp4": "ffconcat version 1.0\nfile http://127.0.0.1:1/a.mp4\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{film}\n#EXT-X-ENDLIST\n",
    "near.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfilm.avi\n#EXT-X-ENDLIST\n",
    "master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://{film}\n",
    "manifest.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{film}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "camera.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "script.avs": 'AviSource("{film}")\n',
    "script.vpy": "import os\n",
    "filters.lavfi": "testsrc\n",
    "meta.ffmeta": ";FFMETADATA1\ntitle=a\n",
    "cue.mp4": "[playlist]\nFile1={film}\nNumberOfEntries=1\n",
    "page.mp4": "<html><video src='{film}'></video></html>",
}


def refused(source: str) -> str:
    """The one line that says why a source is not read."""
    camera = StreamCamera(CameraConfig(backend="stream", source=source, pace="max", timeout_seconds=2))
    with pytest.raises(CameraError) as raised:
        open_and_drain(camera)
    camera.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def open_and_drain(camera: StreamCamera) -> None:
    camera.open()
    while camera.read() is not None:
        pass


def write_film(folder: Path) -> Path:
    write_avi(folder / "film.avi", [np.full((48, 64, 3), 9, np.uint8)] * 5)
    return folder / "film.avi"


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_names_others_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(ODD[name].replace("{film}", str(write_film(tmp_path))))
    assert "cannot be read as a video" in refused(str(path))


@pytest.mark.parametrize(
    "source",
    ["lavfi:testsrc", "testsrc=size=64x48", "concat:{film}|{film}", "subfile,,start,0,end,0,,:{film}", "cache:{film}",
     "pipe:0", "fd:0", "/dev/video-none", "async:{film}", "{folder}/%02d.jpg", "{folder}/*.jpg", "glob:{folder}/*.jpg"],
)  # fmt: skip
def test_a_name_is_the_name_of_a_file_and_nothing_else(source: str, tmp_path: Path) -> None:
    film = write_film(tmp_path)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number:02}.jpg"), np.full((48, 64, 3), 9, np.uint8))
    assert "does not exist" in refused(source.replace("{film}", str(film)).replace("{folder}", str(tmp_path)))


@pytest.mark.parametrize(
    "source",
    ["concat://{film}", "subfile,,start,0,end,0,,://{film}", "cache://{film}", "async://file:{film}", "pipe://0",
     "lavfi://testsrc", "crypto+file://{film}", "unix://{film}", "sctp://127.0.0.1:1", "gopher://127.0.0.1:1/a",
     "ftp://127.0.0.1:1/a", "concatf://{film}", "md5://{film}", "tee://{film}", "ffrtmpcrypt://127.0.0.1:1"],
)  # fmt: skip
def test_an_address_of_an_odd_kind_is_one_line(source: str, tmp_path: Path) -> None:
    assert "cannot be opened" in refused(source.replace("{film}", str(write_film(tmp_path))))


def test_no_picture_is_a_pattern_of_names(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number:02}.jpg"), np.full((48, 64, 3), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((48, 64, 3), 9, np.uint8))
    (tmp_path / "a.jpg").rename(tmp_path / "%02d.jpg")
    assert "cannot be read as a video" in refused(str(tmp_path / "%02d.jpg"))


@NEEDS_FFMPEG
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "cinepak"), ("a.avi", "zmbv"), ("a.mkv", "snow"), ("a.avi", "asv1")],
)
def test_a_codec_that_nobody_films_with_is_named(name: str, codec: str, tmp_path: Path, image: Image) -> None:
    path = make_film(tmp_path / name, image, "-c:v", codec, "-s", "64x64", "-r", "30", "-strict", "-2", frames=2)
    assert f"{name} is encoded as {codec}, which is not read; expected H.264" in refused(str(path))


@NEEDS_FFMPEG
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "prores"), ("a.mkv", "libx265"), ("a.webm", "libvpx"), ("b.webm", "libvpx-vp9"),
     ("a.mp4", "libsvtav1"), ("a.avi", "mpeg4"), ("b.avi", "mjpeg"), ("c.avi", "huffyuv"), ("a.ts", "mpeg2video"),
     ("a.mpg", "mpeg1video"), ("a.flv", "flv"), ("a.wmv", "wmv2"), ("a.mxf", "mpeg2video"),
     ("a.ogv", "libtheora"), ("a.y4m", "wrapped_avframe"),
     ("a.nut", "ffv1"), ("a.gif", "gif"), ("a.apng", "apng"), ("a.3gp", "h263"), ("a.h264", "libx264"),
     ("a.hevc", "libx265"), ("a.ivf", "libvpx"), ("a.mjpeg", "mjpeg"), ("b.mov", "qtrle"),
     ("c.mov", "v210"), ("d.mov", "dnxhd"), ("a.vob", "mpeg2video"), ("a.m4v", "mpeg4"), ("a.rm", "rv10"),
     ("c.mkv", "utvideo"), ("d.avi", "msmpeg4v2"), ("e.avi", "ffvhuff"), ("f.avi", "rawvideo")],
)  # fmt: skip
def test_what_films_are_made_of_is_read(name: str, codec: str, tmp_path: Path) -> None:
    size = {"h263": "352x288", "rv10": "352x288", "dnxhd": "1920x1080"}.get(codec, "320x240")
    more = {"dnxhd": ("-b:v", "36M", "-pix_fmt", "yuv422p"), "wrapped_avframe": ("-pix_fmt", "yuv420p")}.get(codec, ())
    source = f"testsrc=size={size}:rate=25"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "4", "-c:v", codec, *more, str(tmp_path / name))
    frames, camera = frames_of(tmp_path / name)
    assert (len(frames), camera.damaged) == (4, 0)


@NEEDS_FFMPEG
def test_sound_that_is_not_decoded_does_not_keep_a_film_from_being_read(tmp_path: Path, image: Image) -> None:
    film = make_film(tmp_path / "a.mp4", image, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    for sound, name in (
        ("aac", "b.ts"),
        ("mp2", "c.ts"),
        ("ac3", "d.mkv"),
        ("libvorbis", "e.mkv"),
        ("adpcm_ms", "f.avi"),
    ):
        ffmpeg("-i", str(film), "-f", "lavfi", "-i", "sine=duration=1", "-c:v", "copy", "-c:a", sound, "-ac", "2",
               str(tmp_path / name))  # fmt: skip
        frames, camera = frames_of(tmp_path / name)
        assert (len(frames), camera.damaged) == (12, 0), name


def test_nothing_that_is_allowed_opens_other_files() -> None:
    files, urls = set(FILE_FORMATS.split(",")), set(FORMATS.split(","))
    assert not files & (OPENS_MORE | OPENS_HOSTS)
    assert urls - files == OPENS_HOSTS
    assert not set(URL_PROTOCOLS.split(",")) & set(FILE_PROTOCOLS.split(","))


def test_every_name_that_is_allowed_is_one_of_ffmpeg() -> None:
    """A misspelled one would let nothing in, and nobody would notice."""
    formats = {name for names in av.formats_available for name in names.split(",")}
    optional = {"libaom-av1", "av1", "vvc", "libdav1d", "libvpx", "libvpx-vp9"}
    assert set(FORMATS.split(",")) <= formats
    assert set(CODECS.split(",")) - optional <= set(av.codecs_available)
    assert {f".{name}" for name in ("mp4", "mkv", "avi", "mov", "webm")} <= set(FILMS)
