"""camera/stream.py and live_packets.py: what a reader reports, as a user reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any, ClassVar

import av
import numpy as np
import pytest

from fer_edge.camera import live_packets, stream
from fer_edge.camera.av_reader import MOST_BAD_IN_A_ROW, NoVideo, UnknownCodec
from fer_edge.camera.http_pictures import BadAnswer
from fer_edge.camera.live_packets import LivePackets
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Image

PICTURE = np.full((48, 64, 3), 90, np.uint8)
CAMERA, SNAPSHOTS = "rtsp://camera/1", "http://camera/snapshot.jpg"


@dataclass
class Script:
    """What the readers of a test are and do, one after the other."""

    format: str = "rtsp"
    opening: list[Exception] = field(default_factory=list)
    pictures: list[list[Image] | Exception] = field(default_factory=list)  # of each connection to a snapshot's address
    packets: list[Any] = field(default_factory=list)  # of the one connection to a stream
    bad: int = 0  # for each packet
    transfer: str | None = None


class Reader:
    """An AvReader by the script."""

    script: ClassVar[Script]
    fps, frames, seconds, bad = 10.0, None, None, 0

    def __init__(self, *_: object, **__: object) -> None:
        self.format = self.script.format
        if self.script.opening:
            raise self.script.opening.pop(0)

    def frames_of_file(self) -> Iterator[tuple[Image, float | None]]:
        found = self.script.pictures.pop(0)
        if isinstance(found, Exception):
            raise found
        yield from ((image, None) for image in found)

    def packets(self) -> Iterator[Any]:
        for each in self.script.packets:
            if isinstance(each, Exception):
                raise each
            yield each

    def decoded(self, packet: Any) -> Iterator[Any]:
        self.bad += self.script.bad
        yield from packet.frames

    @property
    def picture(self) -> Any:
        class Maker:
            transfer = self.script.transfer

            def __call__(self, _: Any) -> Image:
                return PICTURE

        return Maker()

    def close(self) -> None:
        """It holds nothing."""


def install(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "script", script, raising=False)
    monkeypatch.setattr(stream, "AvReader", Reader)


def packet(*, key: bool = True, frames: int = 1) -> Any:
    return SimpleNamespace(is_keyframe=key, pts=None, frames=[SimpleNamespace(pts=None)] * frames)


def camera_at(source: str, **more: Any) -> StreamCamera:
    return StreamCamera(CameraConfig(backend="stream", source=source, **({"fps": 1000.0, "timeout_seconds": 5} | more)))


def opened(script: Script, monkeypatch: pytest.MonkeyPatch, source: str = CAMERA) -> StreamCamera:
    install(script, monkeypatch)
    camera = camera_at(source)
    camera.open()
    return camera


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (NoVideo(), CameraError, "contains no video: only sound, or a cover picture"),
        (UnknownCodec("is encoded in xyz"), CameraError, "rtsp://camera/1 is encoded in xyz"),
        (
            BadAnswer(1, "its redirections lead in a circle"),
            CameraError,
            "cannot be opened: its redirections lead",
        ),
        (av.error.ExitError(1, "exit"), CameraTimeout, "did not answer within 5 s"),
        (av.error.ConnectionRefusedError(111, "refused"), CameraError, "connection refused: nothing listens there"),
    ],
)
def test_why_an_address_cannot_be_opened(
    error: Exception, kind: type[CameraError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind, match=words) as raised:
        opened(Script(opening=[error]), monkeypatch)
    assert type(raised.value) is kind


def test_a_film_that_no_decoder_takes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    with pytest.raises(CameraError, match="cannot be decoded here: this PyAV has no decoder for it"):
        opened(Script(opening=[av.error.DecoderNotFoundError(1, "")]), monkeypatch, str(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (None, CameraError, "the stream ended or the connection was lost"),
        (av.error.OSError(5, "reset"), CameraError, "the stream ended or the connection was lost"),
        (av.error.TimeoutError(110, ""), CameraTimeout, "sent no frame within 5 s"),
        (BadAnswer(1, "more bytes than any picture has"), CameraError, "rtsp://camera/1: more bytes than any picture"),
    ],
)
def test_why_a_stream_is_lost(
    error: Exception | None, kind: type[CameraError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = opened(Script(packets=[packet(), *([error] if error else [])]), monkeypatch)
    assert camera.read() is not None
    with pytest.raises(kind, match=words) as raised:
        camera.read()
    assert type(raised.value) is kind
    camera.close()


def test_frames_that_are_hdr_or_bad_are_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera = opened(Script(packets=[packet() for _ in range(3)], bad=1, transfer="PQ"), monkeypatch)
    for _ in range(3):
        camera.read()
    assert caplog.text.count("HDR (PQ), tone-mapped") == 1
    assert caplog.text.count("frames that could not be decoded are left out") == 1
    assert camera.left_out.damaged == 3
    camera.close()


def test_a_stream_of_which_nothing_can_be_decoded_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(Script(packets=[packet(frames=0)] * 3, bad=MOST_BAD_IN_A_ROW // 2), monkeypatch)
    with pytest.raises(CameraError, match="in a row could not be decoded"):
        camera.read()
    camera.close()


@pytest.mark.parametrize("second", [[], av.error.InvalidDataError(1, "")], ids=["empty", "damaged"])
def test_a_snapshot_that_cannot_be_decoded(second: list[Image] | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(Script(format="jpeg_pipe", pictures=[[PICTURE], [PICTURE], second]), monkeypatch, SNAPSHOTS)
    assert camera.live
    for _ in range(2):
        assert camera.read() is not None
    with pytest.raises(CameraError, match=r"snapshot\.jpg: the picture cannot be decoded"):
        camera.read()
    camera.close()


def test_a_camera_that_is_not_open() -> None:
    with pytest.raises(CameraError, match="rtsp://camera/1 is not open"):
        camera_at(CAMERA).read()
    assert not camera_at("-").live


def test_a_reader_that_falls_far_behind_goes_on_at_a_key_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_packets, "MOST_PACKETS", 3)
    last, done = packet(), Event()

    class Slow:
        def packets(self) -> Iterator[Any]:
            yield packet()
            yield from (packet(key=False) for _ in range(5))
            yield last

        def close(self) -> None:
            done.set()

    packets = LivePackets(Slow())
    arrived = None
    while (found := packets.take(30)) is not None:
        arrived = found
    assert arrived
    assert arrived.packet is last
    assert packets.skipped <= 6
    packets.close()
    assert done.wait(30)
