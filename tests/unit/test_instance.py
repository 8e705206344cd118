"""instance.py: one daemon a state folder, and nobody else can keep it from starting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.config import Config, Device, State
from fer_edge.errors import AlreadyRunning
from fer_edge.instance import LOCK_FILE, lock
from tests.support.paths import ROOT

HOLD = """
import socket, sys
sys.path.insert(0, {root!r})
from fer_edge.config import Config, Device, State
from fer_edge.instance import lock
with lock(Config(device=Device(id={device!r}), state=State(folder={folder!r}))):
    print("held", flush=True)
    sys.stdin.read()
"""


def config_of(folder: Path) -> Config:
    return Config(device=Device(id=f"lock-{os.getpid()}"), state=State(folder=str(folder)))


def lock_file(folder: Path) -> Path:
    return folder / str(config_of(folder).device.id) / LOCK_FILE


def test_a_shared_state_folder_is_locked_whatever_the_network_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = HOLD.format(root=str(ROOT), folder=str(tmp_path), device=config_of(tmp_path).device.id)
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        # in another namespace its name is free
        monkeypatch.setattr(socket.socket, "bind", lambda _self, _name: None)
        with (
            pytest.raises(AlreadyRunning, match=rf"is already running \(process {other.pid}\); stop it"),
            lock(config_of(tmp_path)),
        ):
            pass
        monkeypatch.undo()
        other.kill()
        other.wait()
    with lock(config_of(tmp_path)):
        assert lock_file(tmp_path).read_text() == f"{os.getpid()}\n"


def test_a_second_daemon_with_another_folder_is_found_by_its_name(tmp_path: Path) -> None:
    with (
        lock(config_of(tmp_path / "a")),
        pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}"),
        lock(config_of(tmp_path / "b")),
    ):
        pass


def test_a_name_that_somebody_only_holds_does_not_stop_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as squatter:
        squatter.bind(f"\0fer-edge-{config_of(tmp_path).device.id}")
        with lock(config_of(tmp_path)):
            pass
    assert "holds the lock of device id" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_a_lock_file_of_somebody_else_is_refused_in_one_line(tmp_path: Path) -> None:
    lock_file(tmp_path).parent.mkdir()
    lock_file(tmp_path).touch()
    os.chown(lock_file(tmp_path), 65534, 65534)
    with (
        pytest.raises(AlreadyRunning, match="belongs to user id 65534; expected 0") as raised,
        lock(config_of(tmp_path)),
    ):
        pass
    assert "\n" not in str(raised.value)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    lock_file(tmp_path).parent.mkdir()
    lock_file(tmp_path).symlink_to(tmp_path / "victim")
    with pytest.raises(AlreadyRunning, match="cannot be locked"), lock(config_of(tmp_path)):
        pass
    assert not (tmp_path / "victim").exists()


def test_where_nothing_can_be_written_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with lock(config_of(tmp_path / "file")):
        pass
    assert "a second daemon with this id would not be noticed" in caplog.text
