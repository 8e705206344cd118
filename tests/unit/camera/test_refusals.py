"""camera/connection.py: why an address cannot be opened, in a clause that says what to do."""

from __future__ import annotations

import errno
import socket

import av
import pytest

from fer_edge.camera.connection import reason

HERE = "http://127.0.0.1/film.mp4"


def http(kind: type[av.error.FFmpegError]) -> av.error.FFmpegError:
    return kind(1, "as FFmpeg says it")


@pytest.mark.parametrize(
    ("error", "source", "words"),
    [
        (http(av.error.HTTPUnauthorizedError), "rtsp://u:p@cam/1", "the user or password is wrong (401)"),
        (http(av.error.HTTPUnauthorizedError), "rtsp://u:p@w@cam/1", "wrong (401); an @ in it is written %40"),
        (http(av.error.HTTPForbiddenError), HERE, "access denied for this user (403)"),
        (http(av.error.HTTPNotFoundError), HERE, "there is nothing at this path (404)"),
        (http(av.error.HTTPTooManyRequestsError), HERE, "the server rejects the request (4xx)"),
        (http(av.error.HTTPServerError), HERE, "the server reports an error of its own (5xx)"),
        (http(av.error.ConnectionRefusedError), HERE, "connection refused: nothing listens there"),
        (http(av.error.ProtocolNotFoundError), HERE, "expected rtsp, rtsps, http, https, rtmp, srt, tcp or udp"),
        (http(av.error.InvalidDataError), HERE, "the response is not a video stream (a web page?)"),
        (http(av.error.DemuxerNotFoundError), HERE, "the response is not a video stream (a web page?)"),
        (OSError(errno.ENETUNREACH, ""), HERE, "no route to the host; check the network"),
        (OSError(errno.EHOSTUNREACH, ""), HERE, "no route to the host; check the network"),
        (OSError(errno.EIO, ""), HERE, "Input/output error; check the address"),
        (OSError(errno.EIO, ""), "https://127.0.0.1/", "the TLS connection failed; check the port and the certificate"),
        (ValueError("no number"), HERE, "ValueError; check the address"),
        (OSError(errno.EIO, ""), "rtsp:///nothing", "the address has no host"),
        (OSError(errno.EIO, ""), "rtsp://[::1/1", "the address has no host"),
    ],
)
def test_each_reason_has_its_words(error: Exception, source: str, words: str) -> None:
    assert words in reason(error, source)


@pytest.mark.parametrize(("source", "hint"), [("rtsp://u:p@nowhere/1", False), ("rtsp://u:p@w@nowhere/1", True)])
def test_an_unknown_host_is_named(source: str, hint: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    words = reason(OSError(errno.EIO, ""), source)
    assert words.startswith("unknown host nowhere")
    assert ("an @ in a password is written %40" in words) == hint
