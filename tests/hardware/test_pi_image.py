"""The container image: what it may do, and an event of it that a subscriber sees."""

from __future__ import annotations

import json
import os
import platform
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.hardware.emulation import Board
from tests.hardware.image_archive import Image, image
from tests.hardware.installing import VERSION

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="amd64 runs and arm64 is emulated: needs an amd64 machine"
)

STOP_SECONDS = 20.0
DEVICE = f"image-{os.getpid()}"  # no other test's daemon on this machine has it


@pytest.fixture(scope="module")
def amd64(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return image(tmp_path_factory.mktemp("image"), "amd64")


@pytest.fixture
def folders(tmp_path: Path, amd64: Image) -> tuple[Path, Path]:
    """For its configuration and its state, which is its user's."""
    config, data = tmp_path / "config", tmp_path / "data"
    config.mkdir()
    data.mkdir()
    os.chown(data, *map(int, amd64.config["User"].split(":")))
    return config, data


def test_it_is_not_root_and_says_how_it_is_asked_for_its_health(amd64: Image) -> None:
    config = amd64.config
    assert config["User"] == "65532:65532"
    assert config["Volumes"] == {"/data": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/lib/fer-edge/healthy"]
    assert config["Labels"]["org.opencontainers.image.title"] == "fer-edge"
    data = (amd64.root / "data").stat()
    assert (data.st_uid, stat.S_IMODE(data.st_mode)) == (65532, 0o700)


def test_nothing_in_it_changes_who_somebody_is_or_can_be_written_by_its_user(amd64: Image) -> None:
    found = [path for path in amd64.root.rglob("*") if not path.is_symlink()]
    assert len(found) > 1000
    assert [path for path in found if path.is_file() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    own = [path.relative_to(amd64.root) for path in found if path.stat().st_uid == 65532]
    assert own == [Path("data")]


@contextmanager
def running(amd64: Image, folders: tuple[Path, Path], log: Path) -> Iterator[int]:
    """The image's own command; its process 1 by this machine's id. Ended as container engines do it, by SIGTERM."""
    name = f"fer-edge-image-{os.getpid()}"
    command = amd64.contained(*amd64.command(), config=folders[0], data=folders[1], name=name)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: bool(_daemons(process.pid)), "its first process")
            (inside,) = _daemons(process.pid)
            yield inside
            os.kill(inside, signal.SIGTERM)
            process.wait(STOP_SECONDS)
        finally:
            for pid in (*_children(process.pid), process.pid) if process.poll() is None else ():
                os.kill(pid, signal.SIGKILL)  # what nspawn contains first: it would outlive that
            process.wait()
            print(log.read_text(errors="replace"))


def _daemons(pid: int) -> list[int]:
    """Those children of a process that have become the daemon."""
    found = []
    for child in _children(pid):
        with suppress(OSError):
            found += [child] if Path(f"/proc/{child}/comm").read_text().strip() == "fer-edge" else []
    return found


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_a_subscriber_sees_its_events(amd64: Image, folders: tuple[Path, Path], tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        (folders[0] / "config.yaml").write_text(
            f"device: {{id: {DEVICE}}}\ncamera: {{backend: replay, source: demo, loop: true}}\n"
            f"mqtt: {{broker: 127.0.0.1, port: {broker.port}}}\nhistory: {{enabled: true}}\n"
        )
        with running(amd64, folders, tmp_path / "log") as inside:
            seen.wait_last(f"{DEVICE}/availability", b"online")
            event = json.loads(seen.wait(f"{DEVICE}/event")[0])
            assert (event["event_type"], event["device_id"]) == ("start", DEVICE)
            wait_for(lambda: _healthy(inside), "its health check")
        seen.wait_last(f"{DEVICE}/availability", b"offline")
    assert (folders[1] / DEVICE / "history.db").stat().st_uid == 65532


def _healthy(inside: int) -> bool:
    """Whether its own check says so, asked from within."""
    enter = ["nsenter", f"--target={inside}", "--mount", "--root", "--wd", "--"]
    check = ["env", "FER_EDGE_ALIVE_FILE=/tmp/fer-edge-alive", "/usr/lib/fer-edge/healthy"]
    return subprocess.run([*enter, *check], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_podman_runs_it_where_it_can(amd64: Image) -> None:
    """Where the kernel, or whoever contains this machine, does not let it, the other tests have to do."""
    if subprocess.run(["sh", "-c", "command -v podman"], stdout=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("podman is not installed")
    subprocess.run(["podman", "load", "--quiet", "--input", str(amd64.archive)], check=True, capture_output=True)
    options = ("--pull=never", "--rm", "--read-only", "--network=none", "--cap-drop=all", "--no-healthcheck")
    command = ["podman", "run", *options, f"fer-edge:{VERSION}", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    subprocess.run(["podman", "rmi", "--force", f"fer-edge:{VERSION}"], check=False, capture_output=True)
    if done.returncode and "OCI" in done.stderr:
        pytest.skip(f"podman cannot run containers here: {done.stderr.strip().splitlines()[-1]}")
    assert done.stdout == f"fer-edge {VERSION}\n", done.stderr


def test_arm64_runs_under_emulation(tmp_path: Path) -> None:
    arm64 = image(tmp_path, "arm64")
    shared = tmp_path / "shared"
    shared.mkdir()
    variables = tuple(arm64.environment.items())
    board = Board(
        suite="trixie", layers=(arm64.root,), packages=(), shared=shared, variables=(*variables, ("PYTHONPATH", ""))
    )
    (shared / "config.yaml").write_text(
        "camera: {backend: replay, source: demo}\nmqtt: {enabled: false}\n"
        "jsonl: {enabled: true, path: /shared/events.jsonl}\nstate: {folder: /shared/state}\n"
    )
    message = board.run(*arm64.command("check", "--config", "/shared/config.yaml"), check=False)
    assert "match their cards; ai-edge-litert" in message, message
    assert "replay demo delivers 640x480 px" in message
    board.run(*arm64.command("run", "--config", "/shared/config.yaml"), timeout=900)  # until the demo has ended
    events = [json.loads(line)["event_type"] for line in (shared / "events.jsonl").read_text().splitlines()]
    assert (events[0], events.count("start")) == ("start", events.count("end"))
