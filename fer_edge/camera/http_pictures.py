"""What an HTTP address sends that is read from front to back: pictures, single or in parts without an end, as most
network cameras send them, and live streams. Read here, within limits, and handed to the decoder as a file: FFmpeg
itself would gather a part that never ends until memory does, and ask the camera for another connection.
"""

from __future__ import annotations

import gzip
import http.client
import io
import ssl
import time
import urllib.request
from contextlib import closing, suppress
from functools import partial
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

import av

from fer_edge.camera.file_kinds import kind_of
from fer_edge.camera.http_film import FAILURES, HttpFilm, Playlist

MOST_PICTURE_BYTES = 32_000_000
SNIFFED_BYTES = 4096
FEWEST_SNIFFED_BYTES = 16
JPEG_START = b"\xff\xd8\xff"
PARTS, PICTURES = "multipart/", "image/"
PLAYLIST = b"#EXTM3U"
HEADERS = {"User-Agent": "fer-edge"}

Kind = Literal["picture", "pictures", "stream", "film", "playlist"]
HttpSource: TypeAlias = "HttpPictures | HttpFilm | Playlist"


class BadAnswer(av.FFmpegError):
    """More bytes came than any picture has, redirections lead in a circle, or it is packed in an unknown way."""


class HttpPictures:
    """A camera's answer as a file for PyAV."""

    def __init__(self, response: Any, timeout_seconds: float) -> None:
        """Raises BadAnswer where it is compressed in another way than by gzip, which servers send unasked."""
        self.kind: Kind | None = None
        """What it is; None: FFmpeg is to request it, or gives the better error."""
        self._response = _unpacked(response)
        self._timeout_seconds = timeout_seconds
        self._head = b""  # was read to see what it is
        self.progressed()

    def progressed(self) -> None:
        """Reset the count: a picture is complete."""
        self._bytes, self._waited_s = 0, 0.0

    def look(self, headers: Any) -> None:
        """Find out what it is. A film of a known length is none of these: FFmpeg can seek in it."""
        content = headers.get_content_type()
        if content.startswith((PARTS, PICTURES)):
            self.kind = "picture" if content.startswith(PICTURES) else "pictures"
            return
        while len(self._head) < FEWEST_SNIFFED_BYTES and (more := self._response.read1(SNIFFED_BYTES)):
            self._head += more  # they are read again
        text = self._head.lstrip()[:1] in (b"", b"<", b"#")  # a page, or a playlist
        kind = kind_of(self._head)
        if JPEG_START in self._head and not (kind and kind.role == "film"):
            self.kind = "pictures"
        elif self._head.startswith(PLAYLIST):
            self.kind = "playlist"
        elif not text:
            length = headers.get("Content-Length", "")
            self.kind = "film" if length.isdecimal() and int(length) else "stream"

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises BadAnswer, and av.error.TimeoutError where a picture does not
        get ready in time."""
        data, self._head = self._head[:size], self._head[size:]
        if not data:
            data = self._received(size)
        self._bytes += len(data)
        if self._bytes > MOST_PICTURE_BYTES:
            raise BadAnswer(1, f"it sent {MOST_PICTURE_BYTES} bytes without the end of a picture")
        if self._waited_s > self._timeout_seconds:
            raise _silent()
        return data

    def whole(self) -> io.BytesIO:
        """All of a single picture. Raises as `read`."""
        return io.BytesIO(b"".join(iter(partial(self.read, 1 << 16), b"")))

    def as_playlist(self, address: str) -> Playlist:
        """The same, read whole. Raises as `read`."""
        with closing(self):
            return Playlist(self.whole().getvalue(), address)

    def as_film(self, source: str) -> HttpFilm:
        """The same, to be read from any place."""
        headers, address = self._response.headers, self._response.url
        length = int(headers["Content-Length"])
        opener, timeout_seconds = _opener(source), self._timeout_seconds

        def again(at: int) -> Any:
            request = urllib.request.Request(address, headers={**HEADERS, "Range": f"bytes={at}-"})  # noqa: S310
            response = opener.open(request, timeout=timeout_seconds)
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                response.close()
                raise http.client.HTTPException("no part was sent")
            return response

        parts = headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        return HttpFilm(self._response, self._head, length, again if parts else None)

    def close(self) -> None:
        """Release the connection."""
        with suppress(*FAILURES):
            self._response.close()

    def _received(self, size: int) -> bytes:
        began = time.monotonic()
        try:
            return bytes(self._response.read1(size))
        except TimeoutError:
            raise _silent() from None
        except FAILURES:  # the camera broke off: what came before is decoded
            return b""
        finally:
            self._waited_s += time.monotonic() - began


def open_http(source: str, timeout_seconds: float) -> HttpSource | None:
    """What an HTTP address sends, if that is pictures or a live stream; None for all else, and where FFmpeg reports
    better what is wrong.

    Raises:
        av.error.TimeoutError: nothing comes.
        BadAnswer: redirections lead in a circle, or it is compressed in an unknown way.

    """
    if not source.lower().startswith(("http://", "https://")):
        return None
    try:
        response = _opener(source).open(_request(source), timeout=timeout_seconds)
    except FAILURES as error:
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            raise _silent() from None
        if urllib.request.HTTPRedirectHandler.inf_msg in str(error):  # FFmpeg knows of an I/O error only
            raise BadAnswer(1, "its redirections lead in a circle; check the address") from None
        return None
    pictures = HttpPictures(response, timeout_seconds)
    with suppress(*FAILURES):
        pictures.look(response.headers)
    if pictures.kind == "playlist":
        return pictures.as_playlist(_address(source, response.url))
    if pictures.kind == "film" and not response.headers.get("Content-Encoding"):
        return pictures.as_film(source)
    if pictures.kind in ("picture", "pictures", "stream"):
        return pictures
    pictures.close()
    return None


def _address(source: str, found: str) -> str:
    """Where something was found in the end, with the user and password for what it names on the same host."""
    user, asked, answered = urlsplit(source).netloc.rpartition("@")[0], urlsplit(source), urlsplit(found)
    if not user or (asked.scheme, asked.hostname, asked.port) != (answered.scheme, answered.hostname, answered.port):
        return found
    return urlunsplit(answered._replace(netloc=f"{user}@{answered.netloc}"))


def _unpacked(response: Any) -> Any:
    packed = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if packed in ("gzip", "x-gzip"):
        return gzip.GzipFile(fileobj=response)
    if packed != "identity":
        response.close()
        raise BadAnswer(1, f"its answer is compressed (Content-Encoding: {packed}), expected gzip or none")
    return response


def _request(source: str) -> urllib.request.Request:
    parts = urlsplit(source)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    return urllib.request.Request(bare, headers=HEADERS)  # noqa: S310 - HTTP only, see above


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
