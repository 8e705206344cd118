"""What `fer-edge check` says where something is not as it should be: one line, and whether the daemon would run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fer_edge.commands import check
from fer_edge.commands.check import Finding, findings
from fer_edge.config import Config, Device, Hdmi, Jsonl, Mqtt, Pictures, Privacy, State, Web
from fer_edge.errors import SinkError
from fer_edge.sinks.hdmi.sink import HdmiSink


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def pipeline_of(*models: Any) -> Callable[[Config], Any]:
    return lambda _: SimpleNamespace(models=models)


def model(role: str, *, accelerated: bool = True, share: Any = None) -> Any:
    card = SimpleNamespace(name=f"{role}-1", role=role)
    return SimpleNamespace(card=card, accelerated=accelerated, share=share)


class Share(SimpleNamespace):
    """How many of a model's nodes a delegate takes."""

    def __str__(self) -> str:
        return f"{self.taken} of 40"


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """The outcomes for a configuration, quickly: nothing is loaded, and no camera is there."""

    def look(**sections: Any) -> dict[str, Finding]:
        config = Config(
            device=Device(id=f"check-{os.getpid()}"),
            state=State(folder=str(tmp_path / "state")),
            mqtt=Mqtt(enabled=False),
            **sections,
        )
        return dict(findings(config, None))

    monkeypatch.setattr(check, "Pipeline", pipeline_of(model("detector")))
    monkeypatch.setattr(check, "open_camera", raising(SinkError("no camera")))
    return look


Found = Callable[..., dict[str, Finding]]


def test_a_folder_that_nobody_may_look_into_is_one_line_and_the_rest_goes_on(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "clock_synced", raising(PermissionError(13, "Permission denied", "/run/clock")))
    outcome = found()
    assert outcome["clock"] == Finding(False, "/run/clock: Permission denied; check its folder's owner")
    assert outcome["thermal"].text
    monkeypatch.setattr(check, "clock_synced", raising(OSError(5, "Input/output error")))
    assert found()["clock"].text == "a file: Input/output error; check its folder's owner"


@pytest.mark.parametrize(("synced", "text"), [(True, "synchronised"), (False, "not synchronised: event times may be")])
def test_the_clock(synced: bool, text: str, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "clock_synced", lambda: synced)
    outcome = found()["clock"]
    assert outcome.text.startswith(text)
    assert (outcome.ok, outcome.fatal) == (synced, synced)


def test_a_source_without_frames(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    empty = SimpleNamespace(read=lambda: None, close=lambda: closed.append(True))
    monkeypatch.setattr(check, "open_camera", lambda _: empty)
    outcome = found()["camera"]
    assert outcome.text.endswith("has no frames; choose another camera.source")
    assert (outcome.ok, outcome.fatal, closed) == (False, True, [True])


@pytest.mark.parametrize(
    ("models", "ok", "words"),
    [
        ((model("detector", accelerated=False),), False, "detector-1: "),
        ((model("detector", share=Share(taken=38)),), True, "nodes on None: detector 38 of 40"),
        ((model("detector", share=Share(taken=0)), model("landmarks", share=Share(taken=9))), False, "all of detector"),
    ],
    ids=["slow", "delegated", "idle"],
)
def test_what_a_model_runs_on(
    models: tuple[Any, ...], ok: bool, words: str, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "Pipeline", pipeline_of(*models))
    outcome = found()["models"]
    assert words in outcome.text
    assert outcome.ok == ok
    assert ok or not outcome.fatal


def test_a_display_is_waited_for_and_a_page_is_not(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HdmiSink, "check", raising(SinkError("no display is connected")))
    monkeypatch.setattr(check, "check_web", raising(SinkError("web: cannot listen there")))
    outcome = found(hdmi=Hdmi(enabled=True), web=Web(enabled=True))
    assert outcome["display"] == Finding(False, "no display is connected; the daemon waits for it", fatal=False)
    assert outcome["page"] == Finding(False, "web: cannot listen there")
    monkeypatch.setattr(HdmiSink, "check", lambda _: "HDMI-A-1, 1920x1080")
    monkeypatch.setattr(check, "check_web", lambda _: "http://127.0.0.1:8080/, without a token")
    outcome = found(hdmi=Hdmi(enabled=True), web=Web(enabled=True))
    assert outcome["display"] == Finding(True, "HDMI-A-1, 1920x1080")
    assert outcome["page"].text == "the live page can be at http://127.0.0.1:8080/, without a token"


def test_pictures_are_counted_or_their_folder_is_named(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = {"pictures": Pictures(enabled=True), "privacy": Privacy(images=True)}
    outcome = found(**sections)["pictures"]
    assert outcome.ok
    assert outcome.text.startswith("0 in ")
    monkeypatch.setattr(check, "pictures_in", raising(PermissionError(13, "Permission denied")))
    outcome = found(**sections)["pictures"]
    assert outcome.text.endswith("pictures: cannot be read: Permission denied; check its owner")
    assert (outcome.ok, outcome.fatal) == (False, False)


def test_a_file_of_json_lines_is_tried_and_not_left_behind(found: Found, tmp_path: Path) -> None:
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    old.write_text("{}\n")
    for path in (new, old):
        outcome = found(jsonl=Jsonl(enabled=True, path=str(path)))["permissions"]
        assert outcome.ok
        assert f"; {path} can be appended to; " in outcome.text
    assert not new.exists()
    assert old.read_text() == "{}\n"
    assert "appended" not in found(jsonl=Jsonl(enabled=True, path="-"))["permissions"].text
    missing = found(jsonl=Jsonl(enabled=True, path=str(tmp_path / "no" / "a.jsonl")))["permissions"]
    assert (missing.ok, missing.fatal) == (False, True)
