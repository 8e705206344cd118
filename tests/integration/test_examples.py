"""Every example of `--help` is typed as it stands there, in a folder that has the files it names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from fer_edge.camera.replay import PICTURES
from fer_edge.commands import COMMANDS, DESCRIPTION, parser
from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.config import Config, History
from fer_edge.errors import Interrupted
from fer_edge.instance import device_id
from fer_edge.records import Image
from fer_edge.sinks.history import HistoryTable
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.testing.brokers import PATIENCE, Mosquitto
from fer_edge.tracking.minutes import Minute
from tests.support.films import pan, write_avi
from tests.unit.commands.analyze.test_resume import StopAfter

DAY = 86_400
EXAMPLE = re.compile(r"^  (fer-edge .*?)(?:   .*)?$", re.MULTILINE)
EXAMPLES = [
    *EXAMPLE.findall(DESCRIPTION),
    *(line for each in COMMANDS.values() for line in EXAMPLE.findall(each.load().EXAMPLES)),
]
NOT_RUN = {
    "fer-edge run": "needs the camera of this machine",
}
"""Examples that are parsed only."""
EXACTLY = {"fer-edge forget": "fer-edge forget --host 127.0.0.1 --port {port}"}
INSTEAD = {
    "bench --report": "bench --report --frames 5 --seconds 0",
    "fer-edge notice": "fer-edge notice -c notice.yaml",
    "--host mybroker.local": "--host 127.0.0.1 --port {port}",
    "--camera front": "--camera front -c two.yaml",
    "forget kitchen": f"forget kitchen-{os.getpid()} --host 127.0.0.1 --port {{port}}",
    "watch --lines": "watch --lines --host 127.0.0.1 --port {port} --for 1",
    "watch --json": "watch --json --host 127.0.0.1 --port {port} --for 1",
    "tune live --for 120": "tune live --for 1 -c my.yaml",
    "| jq": "| cat #",
}
"""What this machine has in place of what an example names."""

TWO_CAMERAS = """
cameras: {front: {backend: replay, source: demo}, back: {backend: replay, source: demo}}
mqtt: {enabled: false}
jsonl: {enabled: true, path: events.jsonl}
privacy: {purpose: home, controller: A. Body, contact: a@example.org}
"""


def arguments_of(example: str) -> list[str]:
    """What the shell gives to the command."""
    plain = re.split(r" [|>] ", example)[0]
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {plain}"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[1:]


def test_every_command_has_an_example() -> None:
    assert {arguments_of(example)[0] for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example: str) -> None:
    arguments = arguments_of(example)
    if "--schema" in arguments:
        pytest.skip("is done as soon as it is understood")
    assert parser(arguments[:1]).parse_args(arguments).command == arguments[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Path:
    """A folder with all that the examples name, and a history of this machine."""
    path = tmp_path_factory.mktemp("place")
    write_avi(path / "clip.mp4", pan(astronaut, 90))
    (path / "holiday").mkdir()
    shutil.copy(PICTURES / "astronaut.jpg", path / "holiday")
    demo = "camera: {backend: replay, source: demo, pace: max}\nmqtt: {enabled: false}\n"
    (path / "my.yaml").write_text(f"device: {{id: example-{os.getpid()}}}\n{demo}")
    (path / "two.yaml").write_text(TWO_CAMERAS)
    (path / "notice.yaml").write_text("privacy: {purpose: home, controller: A. Body, contact: a@example.org}\n")
    (path / "config.yaml").write_text("events: {enter: 0.5}\n")
    for device in (device_id(Config()), f"{device_id(Config())}-front"):
        remember(path / "state/fer-edge" / device)
    return path


def remember(folder: Path) -> None:
    """A history of some days, to two minutes ago."""
    history = HistoryTable(History(enabled=True, keep_days=3660))
    folder.mkdir(parents=True)
    file = SqliteFile(folder / "history.db", write_every_seconds=3600)
    file.add(history)
    today = int(time.time()) // 60 * 60
    for begin_s in (int(datetime(2026, 11, 3, 12).timestamp()), today - 10 * DAY, today - 2 * DAY, today - 120):
        history.add(Minute(begin_s=begin_s, watched_s=60.0, visitors=1, shown_s={"neutral": 8.0}), [])
    file.close()


@pytest.fixture(scope="module")
def environment(place: Path) -> dict[str, str]:
    """No configuration of this machine's; a clock at which it is about noon, so that two minutes ago was today."""
    hour = time.gmtime().tm_hour
    wanted = {"XDG_STATE_HOME": str(place / "state"), "TZ": f"NOON{hour - 12:+d}", "COLUMNS": "100"}
    command = place / "bin" / "fer-edge"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fer_edge "$@"\n')
    command.chmod(0o755)
    wanted["PATH"] = f"{command.parent}:{os.environ['PATH']}"
    wanted["PYTHONPATH"] = os.pathsep.join(sys.path)
    return {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"} | wanted


def interrupted() -> None:
    """What the example of --resume goes on with."""
    wanted = AnalyzeOptions(sources=["clip.mp4"], video=Path("marked.mp4"), report=Path("clip.html"))
    with pytest.raises(Interrupted):
        analyze(Config(), wanted, StopAfter(50))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.port


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works_as_shown(
    example: str, place: Path, environment: dict[str, str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if example in NOT_RUN:
        pytest.skip(NOT_RUN[example])
    if "--resume" in example:
        monkeypatch.chdir(place)
        interrupted()
    example = EXACTLY.get(example, example).replace("{port}", str(port))
    for there, here in INSTEAD.items():
        example = example.replace(there, here.format(port=port))
    if "watch" in example and "--for" not in example:
        example += " --for 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", example],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        check=False,
    )
    if "pip install" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
