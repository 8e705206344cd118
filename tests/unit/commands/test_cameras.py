"""`--camera`: every command says which of several cameras it is about, and refuses a name that is none of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fer_edge.__main__ import main
from fer_edge.commands import COMMANDS

DEMO = "{backend: replay, source: demo}"
DOOR = "{door: {points: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
PRIVACY = "privacy: {purpose: retail, controller: A Shop, contact: ask@example.org, notice_url: https://example.org}\n"
TWO = f"device: {{id: shop}}\ncameras:\n  front: {{backend: replay, source: demo, zones: {DOOR}}}\n  back: {DEMO}\n"
ARGUMENTS = {
    "watch": ["--lines", "--for", "0"],
    "forget": [],
    "check": [],
    "analyze": ["demo"],
    "report": [],
    "notice": ["-o", "notice.html"],
    "tune": ["demo"],
    "bench": [],
}


def config(folder: Path, text: str) -> list[str]:
    (folder / "config.yaml").write_text(f"{text}state: {{folder: {folder}/state}}\nmqtt: {{enabled: false}}\n{PRIVACY}")
    return ["-c", str(folder / "config.yaml")]


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_every_command_but_run_is_tried_here() -> None:
    assert ARGUMENTS.keys() == COMMANDS.keys() - {"run"}


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.parametrize("wrong", ["cellar", ""])
def test_a_wrong_name_is_one_line_with_the_right_ones(
    command: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = config(tmp_path, TWO)
    line = error_of([command, *ARGUMENTS[command], "--camera", wrong, *where], capsys)
    assert line == f"fer-edge: --camera {wrong!r}: expected one of front, back"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_without_section_cameras_there_is_none_to_choose(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = config(tmp_path, f"camera: {DEMO}\n")
    line = error_of([command, *ARGUMENTS[command], "--camera", "front", *where], capsys)
    assert "the configuration has no section cameras; leave --camera out" in line


@pytest.mark.parametrize("command", ["analyze", "report", "tune"])
def test_what_is_about_one_camera_asks_which(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_of([command, *ARGUMENTS[command], *config(tmp_path, TWO)], capsys)
    assert line == "fer-edge: the configuration has several cameras: expected --camera with one of front, back"


@pytest.mark.parametrize("command", ["watch", "forget"])
def test_a_device_and_a_camera_are_not_named_at_once(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = ["--device", "kitchen"] if command == "watch" else ["kitchen"]
    line = error_of([command, *device, "--camera", "front", *config(tmp_path, TWO)], capsys)
    assert "names a device already; leave one of them out" in line


def events_of(out: Path, arguments: list[str]) -> list[dict[str, Any]]:
    assert main(["analyze", "demo", "--events", str(out), *arguments]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_the_only_camera_need_not_be_named(tmp_path: Path) -> None:
    where = config(tmp_path, f"device: {{id: shop}}\ncameras:\n  front: {DEMO}\n")
    assert {event["device_id"] for event in events_of(tmp_path / "events.jsonl", where)} == {"shop-front"}


def test_analyze_has_the_zones_and_the_id_of_its_camera(tmp_path: Path) -> None:
    where = config(tmp_path, TWO)
    for camera, zones in (("front", {"door"}), ("back", set())):
        events = events_of(tmp_path / f"{camera}.jsonl", ["--camera", camera, *where])
        assert {event["device_id"] for event in events} == {f"shop-{camera}"}
        assert {zone for event in events for zone in event.get("zones", ())} == zones


def test_check_looks_at_the_chosen_camera_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = config(tmp_path, TWO)
    assert main(["check", "--camera", "back", *where]) == 0
    message = capsys.readouterr().out
    assert "back: replay " in message
    assert "front:" not in message
    assert " models " in message, "what they have in common is checked, too"


def test_bench_says_whose_settings_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = config(tmp_path, TWO)
    for options, message in ((["--camera", "front"], "front"), ([], "all cameras")):
        assert main(["bench", "--frames", "1", "--json", *options, *where]) == 0
        assert json.loads(capsys.readouterr().out)["camera"] == message


@pytest.mark.parametrize(
    ("options", "title", "named"),
    [
        ([], "Cameras with automatic analysis of faces", False),
        (["--camera", "back"], "Camera with automatic analysis of faces", True),
    ],
)
def test_a_notice_is_about_all_cameras_or_names_one(
    options: list[str], title: str, named: bool, tmp_path: Path
) -> None:
    out = tmp_path / "notice.html"
    assert main(["notice", "-o", str(out), *options, *config(tmp_path, TWO)]) == 0
    page = out.read_text()
    assert f"<h1>{title}</h1>" in page
    assert ("This notice is about the camera “back”." in page) == named
    assert ("these cameras" in page) != named
    assert ("In which marked areas" in page) != named, "the front one has a zone"
    intros = re.findall(r'<p class="intro">(.*?)</p>', page)
    assert len(set(intros)) == 7
    assert all(("back" in intro) == named for intro in intros)
