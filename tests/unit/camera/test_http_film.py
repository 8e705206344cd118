"""camera/http_film.py: a film that comes over one connection after the other, and where these end too early."""

from __future__ import annotations

import http.client
import io
import os
from collections.abc import Callable

import av
import pytest

from fer_edge.camera.http_film import SKIPPED_BYTES, HttpFilm, Playlist

FILM = bytes(range(256)) * 2000


class Response(io.BytesIO):
    """The rest of a film, which may break off in its own way."""

    def __init__(self, content: bytes, *, fails: Exception | None = None) -> None:
        super().__init__(content)
        self._fails = fails

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size or -1)
        if not data and self._fails:
            raise self._fails
        return data

    def close(self) -> None:
        super().close()
        if self._fails:
            raise self._fails


class Server:
    """Sends the film from any place on, and notes from where."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, at: int) -> Response:
        self.asked.append(at)
        return Response(FILM[at:])


def film(
    again: Callable[[int], Response] | None = None, *, cut: int | None = None, fails: Exception | None = None
) -> HttpFilm:
    return HttpFilm(Response(FILM[10:cut], fails=fails), FILM[:10], len(FILM), again)


def test_the_head_comes_first_and_nothing_behind_the_end() -> None:
    whole = film()
    assert not whole.seekable()
    assert (whole.read(4), whole.tell()) == (FILM[:4], 4)
    rest = b"".join(iter(lambda: whole.read(100_000), b""))
    assert FILM[:4] + rest == FILM
    assert whole.tell() == len(FILM)
    whole.close()


def test_a_short_way_ahead_is_read_and_a_long_one_or_back_is_asked_for() -> None:
    server = Server()
    found = film(server)
    assert found.seekable()
    assert found.seek(1000) == 1000
    assert (found.read(5), server.asked) == (FILM[1000:1005], [])
    assert found.seek(SKIPPED_BYTES + 1, os.SEEK_CUR) == 1005 + SKIPPED_BYTES + 1
    assert found.read(5) == FILM[found.tell() - 5 : found.tell()]
    found.seek(-7, os.SEEK_END)
    assert found.read(100) == FILM[-7:]
    found.seek(3)
    assert found.read(2) == FILM[3:5]
    assert server.asked == [1005 + SKIPPED_BYTES + 1, 3]
    found.progressed()
    found.close()


@pytest.mark.parametrize(
    "fails",
    [None, ConnectionResetError(), http.client.IncompleteRead(b""), EOFError()],
    ids=["ends", "resets", "cut", "eof"],
)
def test_a_connection_that_ends_too_early_is_said(fails: Exception | None) -> None:
    broken = film(cut=1000, fails=fails)
    assert broken.read(10) + broken.read(2000) == FILM[:1000]
    with pytest.raises(av.error.OSError, match="the connection ended after 1000 of 512000 bytes"):
        broken.read(1)
    broken.close()


def test_one_that_ends_on_the_way_is_said_too() -> None:
    broken = film(cut=1000)
    broken.seek(5000)
    with pytest.raises(av.error.OSError, match="the connection ended after 1000 of"):
        broken.read(1)


def test_silence_is_a_timeout() -> None:
    silent = film(cut=10, fails=TimeoutError())
    assert silent.read(10) == FILM[:10]
    with pytest.raises(av.error.TimeoutError):
        silent.read(1)


def test_a_playlist_knows_its_address() -> None:
    playlist = Playlist(b"#EXTM3U\n", "http://there/live.m3u8")
    playlist.progressed()
    assert (playlist.name, playlist.read()) == ("http://there/live.m3u8", b"#EXTM3U\n")
