"""Pictures over HTTP, single or in parts without an end, as most network cameras send them: read here, within limits,
and handed to the decoder as a file. FFmpeg itself would gather a part that never ends until memory does.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
import urllib.request
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import av

MOST_PICTURE_BYTES = 32_000_000
SNIFFED_BYTES = 4096
JPEG_START = b"\xff\xd8\xff"
PARTS, PICTURES = "multipart/", "image/"
FAILURES = (OSError, http.client.HTTPException, ValueError)


class EndlessPicture(av.FFmpegError):
    """It has no end: more bytes came than any picture has, or redirections lead in a circle."""


class HttpPictures:
    """A camera's answer as a file for PyAV."""

    def __init__(self, response: Any, kind: str, timeout_seconds: float) -> None:
        """`kind`: its Content-Type."""
        self.single = kind.startswith(PICTURES)
        """Whether it is one picture, and no stream of them."""
        self._response = response
        self._timeout_seconds = timeout_seconds
        self._head = b""  # was read to see what it is
        self.progressed()

    def progressed(self) -> None:
        """Reset the count: a picture is complete."""
        self._bytes, self._began = 0, time.monotonic()

    def sniff(self) -> bytes:
        """The first bytes; they are read again."""
        self._head = self._response.read1(SNIFFED_BYTES)
        return self._head

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises EndlessPicture, and av.error.TimeoutError where a picture does not
        get ready in time."""
        data, self._head = self._head[:size], self._head[size:]
        if not data:
            data = self._received(size)
        self._bytes += len(data)
        if self._bytes > MOST_PICTURE_BYTES:
            raise EndlessPicture(1, f"it sent {MOST_PICTURE_BYTES} bytes without the end of a picture")
        if time.monotonic() - self._began > self._timeout_seconds:
            raise _silent()
        return data

    def whole(self) -> io.BytesIO:
        """All of a single picture. Raises as `read`."""
        return io.BytesIO(b"".join(iter(partial(self.read, 1 << 16), b"")))

    def close(self) -> None:
        """Release the connection."""
        with suppress(*FAILURES):
            self._response.close()

    def _received(self, size: int) -> bytes:
        try:
            return bytes(self._response.read1(size))
        except TimeoutError:
            raise _silent() from None
        except FAILURES:  # the camera broke off: what came before is decoded
            return b""


def open_pictures(source: str, timeout_seconds: float) -> HttpPictures | None:
    """What an HTTP address sends, if that is pictures; None for all else, and where FFmpeg says better what is wrong.

    Raises:
        av.error.TimeoutError: nothing comes.
        EndlessPicture: redirections lead in a circle.

    """
    if not source.lower().startswith(("http://", "https://")):
        return None
    try:
        response = _opener(source).open(_request(source), timeout=timeout_seconds)
    except FAILURES as error:
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            raise _silent() from None
        if urllib.request.HTTPRedirectHandler.inf_msg in str(error):  # FFmpeg knows of an I/O error only
            raise EndlessPicture(1, "its redirections lead in a circle; check the address") from None
        return None
    kind = response.headers.get_content_type()
    pictures = HttpPictures(response, kind, timeout_seconds)
    try:
        if kind.startswith((PARTS, PICTURES)) or JPEG_START in pictures.sniff():
            return pictures
    except FAILURES:
        pass
    pictures.close()
    return None


def _request(source: str) -> urllib.request.Request:
    parts = urlsplit(source)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    return urllib.request.Request(bare, headers={"User-Agent": "fer-edge"})  # noqa: S310 - HTTP only, see above


def _opener(source: str) -> urllib.request.OpenerDirector:
    """HTTP and nothing else, redirected or not; cameras' self-signed certificates are accepted, as by FFmpeg."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        *_passwords(source),
    ):
        opener.add_handler(handler)
    return opener


def _passwords(source: str) -> list[urllib.request.BaseHandler]:
    user, _, password = urlsplit(source).netloc.rpartition("@")[0].partition(":")
    if not user:
        return []
    known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, _request(source).full_url, unquote(user), unquote(password))
    return [urllib.request.HTTPDigestAuthHandler(known), urllib.request.HTTPBasicAuthHandler(known)]


def _silent() -> av.error.TimeoutError:
    return av.error.TimeoutError(110, "no picture in time")
