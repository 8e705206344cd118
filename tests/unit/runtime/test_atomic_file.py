"""files.py: a file gets another content in one step, and nothing beside it is touched."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from fer_edge.runtime.atomic_file import FOR_ALL, create_beside, remove_strays, replace_file, replace_files


def test_neighbours_of_like_name_stay(tmp_path: Path) -> None:
    for name in ("config.new", "config.yaml.new"):
        (tmp_path / name).write_text("mine")
    replace_file(tmp_path / "config.yaml", b"a: 1\n")
    assert (tmp_path / "config.yaml").read_bytes() == b"a: 1\n"
    assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "config.new", "config.yaml.new"}
    assert (tmp_path / "config.new").read_text() == (tmp_path / "config.yaml.new").read_text() == "mine"


def test_permissions_are_the_umasks_or_those_of_another_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        replace_file(tmp_path / "report", b"", mode=FOR_ALL)
        (tmp_path / "config").touch()
        (tmp_path / "config").chmod(0o606)
        replace_file(tmp_path / "config", b"", like=(tmp_path / "config").stat())
    finally:
        os.umask(before)
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o606


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_writes_stays_its_owners(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a")
    os.chown(tmp_path / "config", 1234, 1235)
    replace_file(tmp_path / "config", b"b", like=(tmp_path / "config").stat())
    found = (tmp_path / "config").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """As /dev/null must, for root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    replace_file(pipe, b"text")
    assert os.read(end, 10) == b"text"
    os.close(end)
    assert pipe.is_fifo()


def test_a_link_beside_the_file_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the name that was used before nor one that was guessed."""
    names = iter(["guessed", "free"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(names))
    (tmp_path / "victim").write_text("theirs")
    for name in ("file.partial", ".guessed.partial"):
        (tmp_path / name).symlink_to("victim")
    replace_file(tmp_path / "file", b"mine")
    assert (tmp_path / "victim").read_text() == "theirs"
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


def test_the_longest_name_can_be_replaced(tmp_path: Path) -> None:
    replace_file(tmp_path / ("x" * 255), b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 255]


def test_of_several_files_none_is_replaced_where_one_cannot_be_written(tmp_path: Path) -> None:
    model, card = tmp_path / "model", tmp_path / "card"
    model.write_bytes(b"old")
    with pytest.raises(OSError, match="No such file"):
        replace_files({model: b"new", tmp_path / "missing" / "card": b"new"})
    assert model.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [model]  # nothing half-written is left
    replace_files({model: b"new", card: b"new"})
    assert model.read_bytes() == card.read_bytes() == b"new"


def test_what_a_power_cut_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    _, stray = create_beside(tmp_path / "tuning.json")
    others = [".0123456789abcdef.partial.txt", "0123456789abcdef.partial", ".short.partial", "tuning.json"]
    for name in others:
        (tmp_path / name).write_text("")
    (tmp_path / ".00000000000000ab.partial").symlink_to(tmp_path / "tuning.json")
    (tmp_path / ".00000000000000cd.partial").mkdir()
    remove_strays(tmp_path, older_seconds=60.0)
    assert stray.exists(), "it may be somebody's who is still writing"
    os.utime(stray, (1, 1))
    remove_strays(tmp_path, older_seconds=60.0)
    assert {path.name for path in tmp_path.iterdir()} == {
        *others,
        ".00000000000000ab.partial",
        ".00000000000000cd.partial",
    }
    remove_strays(tmp_path / "absent")
