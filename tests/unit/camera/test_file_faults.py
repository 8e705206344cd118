"""camera/file_kinds.py, folder.py, decoder_words.py: what the system does not let them see."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from fer_edge.camera import file_kinds
from fer_edge.camera.container_damage import damaged_places
from fer_edge.camera.decoder_words import decoder_words
from fer_edge.camera.file_kinds import HEAD_BYTES, TEXT, check_film, file_kind, kind_of
from fer_edge.camera.folder import is_animated
from fer_edge.camera.picture_size import is_animated_webp
from fer_edge.camera.webp_film import TooLarge, WebpReader
from fer_edge.errors import CameraError


def test_a_file_that_cannot_be_read_is_of_no_known_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nIDAT")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(Path, "open", refused)
    assert file_kind(path) is None
    assert not is_animated(path)
    assert damaged_places(path) == []


def test_a_folder_is_no_animation(tmp_path: Path) -> None:
    assert not is_animated(tmp_path)


def test_a_letter_at_the_edge_of_what_is_read_is_still_text() -> None:
    text = b"a" * (HEAD_BYTES - 5) + "größe".encode() * 9
    assert kind_of(text[: HEAD_BYTES - 5] + "ö".encode() + text) == TEXT
    assert kind_of(b"text \xff and more" * 200) is None


def test_a_terminal_is_no_film(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "stdin"
    path.touch()
    monkeypatch.setattr(file_kinds, "STDIN", str(path))
    monkeypatch.setattr(os, "isatty", lambda number: number == 0)
    with pytest.raises(CameraError, match="standard input is a terminal; expected a film"):
        check_film(str(path))


def test_without_a_standard_error_there_are_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with decoder_words() as words:
        pass
    assert words == []


def test_an_animated_webp_whose_canvas_is_too_large(tmp_path: Path) -> None:
    head = b"RIFF" + bytes(4) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + bytes(3) + b"\xff\xff\0" + b"\xff\xff\0"
    assert is_animated_webp(head)
    path = tmp_path / "a.webp"
    path.write_bytes(head)
    with pytest.raises(TooLarge, match=r"has pictures of 65536 x 65536 px, expected at most 1000 pixels"):
        WebpReader(str(path), most_px=1000)


TAG = b"\x09" + (5).to_bytes(3) + bytes(7) + b"frame"
FRAGMENT = struct.pack(">I", 16) + b"moof" + bytes(8)
HEAD = struct.pack(">I", 16) + b"ftypisom" + bytes(4)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"FLV\x01" + bytes(5) + bytes(4) + TAG + (16).to_bytes(4) + TAG, True),
        (b"FLV\x01" + bytes(5) + bytes(4) + TAG + (17).to_bytes(4) + TAG, False),
        (b"FLV\x01" + bytes(5) + bytes(4) + b"\x1f" + TAG[1:], False),
        (b"RIFF" + bytes(4) + b"AVI LIST" + bytes(4) + b"movi00dc" + (4).to_bytes(4, "little") + bytes(20), True),
        (b"RIFF" + bytes(4) + b"AVI LIST" + bytes(4) + b"movi\xff\xfe\xfd\xfc" + bytes(20), False),
        (HEAD + FRAGMENT + FRAGMENT, True),
        (HEAD + FRAGMENT + bytes(4) + b"mdat" + bytes(50), True),  # to the end
        (HEAD + FRAGMENT + struct.pack(">I4sQ", 1, b"mdat", 24) + bytes(8) + FRAGMENT, True),
        (HEAD + FRAGMENT + struct.pack(">I", 3) + b"mdat" + bytes(50), False),
        (HEAD + FRAGMENT + struct.pack(">I", 20) + b"\0\1\2\3" + bytes(50), False),
        (HEAD + struct.pack(">I", 20) + b"\0\1\2\3" + bytes(50), True),  # without fragments there is an index
        ((b"G" + bytes(187)) * 4, True),
        ((b"G" + bytes(187)) * 3 + bytes(188), False),
        ((bytes(4) + b"G" + bytes(187)) * 4, True),
        (b"another kind of file altogether", True),
        (b"", True),
    ],
)
def test_whether_a_film_s_parts_follow_each_other(data: bytes, whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(data)
    assert (damaged_places(path) == []) == whole
