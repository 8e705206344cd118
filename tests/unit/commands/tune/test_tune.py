"""tune.py and retell.py: what other thresholds would have published, exactly, from one look by the networks."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from fer_edge.__main__ import main
from fer_edge.camera import open_camera
from fer_edge.camera.sources import source_config
from fer_edge.commands.tune import compare as module
from fer_edge.commands.tune.compare import (
    AS_IT_IS,
    Candidate,
    TuneOptions,
    candidates,
    picture,
    play,
    presets,
    tune,
    write,
)
from fer_edge.commands.tune.replay import Recording, Replay, outcome
from fer_edge.config import Alert, Attention, Config, Events, Quality, Tracking
from fer_edge.errors import ConfigError
from fer_edge.pipeline import Pipeline
from fer_edge.records import EventType, FaceEvent, Frame
from fer_edge.settings.loader import load_config
from fer_edge.tracking.counters import FaceTimeCounter
from tests.support.face_events import face_event

SECOND = 1_000_000_000
OTHERS = {
    "as it is": Config(),
    "quick": Config(
        tracking=Tracking(smoothing_seconds=0.05, judge_every_seconds=0.0), events=Events(dwell_seconds=0.0)
    ),
    "strict": Config(
        quality=Quality(max_yaw_deg=8.0, max_blur=0.5), events=Events(enter=0.9, leave=0.8, heartbeat_seconds=1.0)
    ),
    "slow": Config(tracking=Tracking(confirm_seconds=1.0, keep_seconds=0.2, judge_every_seconds=0.5)),
}


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """The built-in demo: faces that come, change and go."""
    with closing(open_camera(source_config(Config().camera, "demo"))) as camera:
        return list(iter(camera.read, None))


def published(config: Config, frames: list[Frame]) -> list[FaceEvent]:
    """What the pipeline itself says."""
    pipeline = Pipeline(config)
    return [event for frame in frames for event in pipeline.step(frame).events]


def told_again(config: Config, frames: list[Frame]) -> list[FaceEvent]:
    recording, retelling = Recording(Config()), Replay(config)
    for frame in frames:
        retelling.add(recording.look(frame))
    return retelling.events


def key(event: FaceEvent) -> tuple[Any, ...]:
    return event.event_type, event.track_id, event.mono_ns, event.expression, round(event.confidence, 5), event.reason


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_events_as_from_the_pipeline_itself(name: str, frames: list[Frame]) -> None:
    own = published(OTHERS[name], frames)
    assert len(own) >= 4
    assert list(map(key, told_again(OTHERS[name], frames))) == list(map(key, own))


def story(*reported: tuple[float, EventType, str | None, str | None]) -> list[FaceEvent]:
    return [
        face_event(
            mono_ns=round(at_s * SECOND), event_type=kind, previous=previous, expression=expression, dwell_s=at_s
        )
        for at_s, kind, previous, expression in reported
    ]


def test_an_outcome_by_hand() -> None:
    reported = story(
        (0.5, EventType.START, None, None),
        (2.0, EventType.UPDATE, None, "neutral"),
        (4.0, EventType.UPDATE, "neutral", "fear"),
        (6.5, EventType.UPDATE, "fear", "neutral"),  # there and back within 3 s
        (8.0, EventType.UPDATE, "neutral", "neutral"),  # a heartbeat
        (20.0, EventType.UPDATE, "neutral", "fear"),
        (24.0, EventType.UPDATE, "fear", "neutral"),  # too late for a flip
    )
    tally = FaceTimeCounter(0)
    tally.shown_ns.update({"neutral": 15 * SECOND, "fear": 5 * SECOND, "none": 10 * SECOND})
    one = outcome(reported, tally, 60.0)
    assert (one.faces, one.flips, one.events_per_minute, one.changes_per_minute) == (1, 1, 8.0, 10.0)
    assert (one.first_label_s, one.shares["fear"]) == (2.0, 0.25)
    assert one.labelled == pytest.approx(2 / 3)
    assert one.abstained == pytest.approx(1 / 3)


def test_an_outcome_of_nothing() -> None:
    one = outcome([], FaceTimeCounter(0), 0.0)
    assert (one.events_per_minute, one.changes_per_minute, one.first_label_s, one.abstained) == (None, None, None, None)


def test_presets_are_valid_whatever_the_configuration_says() -> None:
    for events in (Events(), Events(enter=1.0, leave=1.0), Events(enter=0.0, leave=0.0, dwell_seconds=0.0)):
        config = Config(events=events, tracking=Tracking(smoothing_seconds=0.0))
        tried = candidates(config, ())
        assert [each.name for each in tried] == [AS_IT_IS, *presets(config)]
        assert all(each.config.events.leave <= each.config.events.enter for each in tried)


def test_keys_of_a_try_come_in_any_order() -> None:
    text = "events.leave=0.7,events.enter=0.8 tracking.keep_seconds=2"
    one = candidates(Config(), [text])[1]
    assert (one.config.events.enter, one.config.events.leave, one.config.tracking.keep_seconds) == (0.8, 0.7, 2.0)
    assert one.changes == {"events.enter": 0.8, "tracking.keep_seconds": 2.0, "events.leave": 0.7}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("events.enter", r"--try 'events\.enter': expected section\.key=value, such as events\.enter=0\.6"),
        ("", "expected section.key=value"),
        ("events.enter=2", r"events\.enter: expected .*1"),
        ("events.entre=0.6", r"did you mean events\.enter\?"),
        ("events.leave=0.9", r"events\.leave cannot be 0\.9"),
        ("privacy.images=true", "can only be changed in config.yaml"),
    ],
)
def test_what_is_no_try(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        candidates(Config(), [text])


def test_too_many_tries() -> None:
    with pytest.raises(ConfigError, match="expected at most 7 --try, got 8"):
        candidates(Config(), [f"events.enter=0.{number}" for number in range(51, 59)])


def test_a_threshold_of_the_networks_has_the_source_played_again(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    opened = []

    def counted(config: Any) -> Any:
        opened.append(config.source)
        return open_camera(config)

    monkeypatch.setattr(module, "open_camera", counted)
    tune(Config(), None, TuneOptions(source="demo", tries=["detector.min_face_px=400", "events.enter=0.9"], json=True))
    found = json.loads(capsys.readouterr().out)
    assert opened == ["demo", "demo"]
    assert found["detector.min_face_px=400"]["faces"] == 0
    assert found[AS_IT_IS]["faces"] == found["events.enter=0.9"]["faces"] > 0
    assert found["events.enter=0.9"]["labelled"] < found[AS_IT_IS]["labelled"]


def test_a_live_source_is_played_once() -> None:
    with pytest.raises(ConfigError, match="changes what the networks see, which can be tried on recordings only"):
        tune(Config(), None, TuneOptions(source="live", tries=["detector.min_score=0.9"]))


def test_ctrl_c_is_enough_and_seconds_are_kept(frames: list[Frame]) -> None:
    class Source:
        """Frames until Ctrl-C, at frame 30."""

        live, colour, title = True, False, "frames"

        def __init__(self) -> None:
            self.left: Iterator[Frame] = iter(frames[:30])

        def open(self) -> None: ...
        def close(self) -> None: ...

        def read(self) -> Frame | None:
            try:
                return next(self.left)
            except StopIteration:
                raise KeyboardInterrupt from None

    one = [Candidate(AS_IT_IS, Config())]
    drawn: list[Any] = []
    assert play(Source(), one, draw=drawn.append)[AS_IT_IS].seconds == pytest.approx(29 / 15, abs=0.1)
    assert len(drawn) == 2
    assert play(Source(), one, seconds=1.0)[AS_IT_IS].seconds == pytest.approx(1.0, abs=0.1)


def test_the_table_names_what_differs() -> None:
    tried = candidates(Config(), ["events.enter=0.8"])
    console = Console(width=100, color_system=None)
    with console.capture() as message:
        console.print(picture(tried, {each.name: outcome([], FaceTimeCounter(0), 0.0) for each in tried}))
    lines = message.get().splitlines()
    assert any(line.split() == ["events.enter", "0.5", "0.8"] for line in lines)
    assert any("flips" in line for line in lines)


def test_alerts_are_counted_at_any_hour() -> None:
    rules = {
        "smile": Alert(expressions=("happiness",), for_seconds=0.0, cooldown_seconds=0.0),
        "fright": Alert(expressions=("fear",), for_seconds=0.0),
        "looked": Alert(signals=("looks",), for_seconds=0.0, cooldown_seconds=0.0),
    }
    config = Config(alerts=rules, attention=Attention(enabled=True))
    with closing(open_camera(source_config(config.camera, "demo"))) as camera:
        pipeline = Pipeline(config)
        turned = [alert for frame in iter(camera.read, None) for alert in pipeline.step(frame).alerts if alert.on]
    begun = {name: sum(alert.name == name for alert in turned) for name in rules}
    assert begun["smile"] >= 2
    assert begun["looked"] >= 1
    at_night = {name: structs.replace(rule, active_hours="03:00-03:01") for name, rule in rules.items()}
    late = {name: structs.replace(rule, for_seconds=60.0) for name, rule in rules.items()}
    tried = [
        Candidate(name, structs.replace(config, alerts=each)) for name, each in (("now", at_night), ("late", late))
    ]
    with closing(open_camera(source_config(config.camera, "demo"))) as camera:
        outcomes = play(camera, tried)
    assert outcomes["now"].alerts == begun
    assert outcomes["late"].alerts == dict.fromkeys(rules, 0)
    console = Console(width=80, color_system=None)
    with console.capture() as output:
        console.print(picture(tried, outcomes))
    assert ["alert", "smile", str(begun["smile"]), "0"] in [line.split() for line in output.get().splitlines()]


def test_words_of_the_table_stay_whole_in_80_columns() -> None:
    tried = candidates(Config(), [])
    shown = replace(outcome([], FaceTimeCounter(0), 0.0), shares={"happiness": 1.0})
    console = Console(width=80, color_system=None)
    with console.capture() as message:
        console.print(picture(tried, {each.name: shown for each in tried}))
    row = next(line for line in message.get().splitlines() if line.strip().startswith("most shown"))
    assert row.split() == ["most", "shown", *["happiness"] * 5]


def test_the_chosen_one_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("events:\n  enter: 0.5  # mine\n")
    path.chmod(0o604)
    arguments = [
        "tune",
        "demo",
        "-c",
        str(path),
        "--for",
        "1",
        "--try",
        "events.enter=0.8",
        "--write",
        "events.enter=0.8",
    ]
    assert main(arguments) == 0
    assert path.read_text() == "events:\n  enter: 0.8  # mine\n"
    assert path.stat().st_mode & 0o777 == 0o604
    assert f"{path}: events.enter: 0.8; `systemctl reload fer-edge` puts it in force\n" in capsys.readouterr().err


def test_no_time_is_not_all_of_it() -> None:
    (config,) = candidates(Config(), [])[:1]
    assert module.play_all(Config(), [config], TuneOptions(source="demo", seconds=0.0))[AS_IT_IS].seconds == 0.0


def test_other_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"events:\r\n  enter: 0.5\r\n  leave: 0.2 # low\r\n")
    write(path, Candidate("surer", Config(), {"events.enter": 0.6}))
    assert path.read_bytes() == b"events:\r\n  enter: 0.6\r\n  leave: 0.2 # low\r\n"


class Terminal(io.StringIO):
    """What somebody types, or sees."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "enter"), [("", 0.5), ("\n", 0.5), ("calm\nsurer\n", 0.65)])
def test_at_a_terminal_it_asks(typed: str, enter: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D, and Enter alone, leave it as it is."""
    path = tmp_path / "config.yaml"
    path.write_text("events:\n  enter: 0.5\n")
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stdout", Terminal())
    tune(load_config(path), path, TuneOptions(source="demo", seconds=0.5))
    assert load_config(path).events.enter == enter


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--write", "calmest"], "--write 'calmest': expected one of as it is, calmer, faster, surer, bolder"),
        (["--write", "calmer"], "--write needs a configuration file to write to: give it with -c"),
    ],
)
def test_what_cannot_be_written(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "demo", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write the thresholds: No such file or directory"):
        write(tmp_path / "config.yaml", Candidate("calmer", structs.replace(Config()), {"events.enter": 0.6}))
