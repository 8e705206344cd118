"""files.py: a file gets another content in one step, and nothing beside it is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fer_edge.runtime.atomic_file import FOR_ALL, replace_file


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
