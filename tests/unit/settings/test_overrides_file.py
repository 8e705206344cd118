"""tuning.py: changes over restarts and reloads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fer_edge.config import Alert, Config, Detector, Events
from fer_edge.settings.loader import parse_config
from fer_edge.settings.overrides import Tuning
from tests.support.tuning_helpers import CHANGES, CONFIG, JSON, NAMES, stored, valid


def test_changes_outlast_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    tuning = Tuning(CONFIG, folder)
    assert not folder.exists()  # nothing to keep yet
    for key, payload in (("detector/min_score", b"0.6"), ("alerts/door/enabled", b"OFF"), ("log/level", b"debug")):
        assert tuning.set(key, payload).reason is None
    again = Tuning(replace(CONFIG, detector=Detector(min_score=0.4, max_faces=2)), folder)
    assert again.warnings == ()
    assert again.config == replace(tuning.config, detector=Detector(min_score=0.6, max_faces=2))
    again.set("detector/min_score", b"0.4")  # as config.yaml has it: no longer a change
    assert stored(folder) == {"alerts.door.enabled": False, "log.level": "debug"}
    assert [path.name for path in folder.iterdir()] == ["tuning.json"]


def test_the_disk_is_spared_what_it_holds_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = Tuning(CONFIG, tmp_path)
    tuning.set("detector/min_score", b"0.6")
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("written again"))
    assert tuning.set("detector/min_score", b"0.60").reason is None
    assert Tuning(CONFIG, tmp_path).config == tuning.config


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"privacy.images": True}, 'the change to "privacy.images" is dropped: this key cannot be set'),
        ({"alerts.gone.enabled": False}, '"alerts.gone.enabled" is dropped'),
        ({"detector.min_score": 7}, "expected a number <= 1.0, got 7"),
        ({"detector.min_score": None}, "expected a number, got null"),
        ({"events.leave": 0.9}, "events.leave: expected at most events.enter (0.5), got 0.9"),
        ({"events.enter": 0.1}, "events.leave: expected at most events.enter (0.1), got 0.35"),
    ],
)
def test_what_is_no_longer_valid_is_dropped_in_words(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    (tmp_path / "tuning.json").write_text(json.dumps({**content, "detector.max_faces": 3}))
    tuning = Tuning(CONFIG, tmp_path)
    (warning,) = tuning.warnings
    assert words in warning
    assert tuning.config == replace(CONFIG, detector=Detector(max_faces=3))
    assert stored(tmp_path) == {"detector.max_faces": 3}
    assert Tuning(CONFIG, tmp_path).warnings == ()  # told once


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\0" * 4096, b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tuning.json"
    path.write_bytes(content)
    tuning = Tuning(CONFIG, tmp_path)
    (warning,) = tuning.warnings
    assert f"{path} is damaged" in warning
    assert tuning.config == CONFIG
    assert not path.exists()
    assert (tmp_path / "tuning.corrupt").read_bytes() == content
    assert tuning.set("detector/min_score", b"0.6").reason is None
    assert Tuning(CONFIG, tmp_path).warnings == ()


CONTENTS = st.dictionaries(NAMES, JSON | st.floats(0, 1), max_size=6).map(lambda content: json.dumps(content).encode())


@settings(max_examples=60)  # each one writes to the disk
@given(st.binary(max_size=60) | CONTENTS)
def test_whatever_the_file_holds_it_starts_with_a_valid_configuration(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tuning.json").write_bytes(content)
        tuning = Tuning(CONFIG, Path(folder))
        assert valid(tuning.config)
        assert all(warning.isprintable() for warning in tuning.warnings)
        again = Tuning(CONFIG, Path(folder))
        assert (again.config, again.warnings) == (tuning.config, ())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Root may write into any folder, but not below a file."""
    (tmp_path / "file").write_text("")
    tuning = Tuning(CONFIG, tmp_path / "file" / "state")
    (warning,) = tuning.warnings
    assert "cannot read" in warning
    for _ in range(2):  # said each time
        answer = tuning.set("detector/min_score", b"0.6")
        assert (answer.value, answer.accepted) == (0.6, True)
        assert "in force, but it will not survive a restart: cannot write" in (answer.reason or "")
    assert tuning.config.detector.min_score == 0.6
    assert tuning.set("detector/min_score", b"").reason is None  # nothing left that could be lost


def test_without_a_folder() -> None:
    answer = Tuning(CONFIG, None).set("detector/min_score", b"0.6")
    assert (answer.value, answer.accepted) == (0.6, True)
    assert answer.reason == "in force, but it will not survive a restart: there is no state folder (state.folder)"


def test_a_write_that_failed_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tuning.json").write_text('{"nothing": 1, "detector.max_faces": 3}')

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        tuning = Tuning(CONFIG, tmp_path)
        dropped, unsaved = tuning.warnings
        assert "is dropped" in dropped
        assert unsaved.startswith("changes will not survive a restart: cannot write")
        assert "No space left" in (tuning.set("detector/min_score", b"0.6").reason or "")
        assert stored(tmp_path) == {"nothing": 1, "detector.max_faces": 3}  # the old file is whole
    assert tuning.set("log/level", b"debug").reason is None
    assert stored(tmp_path) == {"detector.max_faces": 3, "detector.min_score": 0.6, "log.level": "debug"}


def test_the_new_file_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name))
    monkeypatch.setattr(os, "replace", lambda source, target: done.append(f"{source.name} -> {target.name}"))
    Tuning(CONFIG, tmp_path).set("detector/min_score", b"0.6")
    partial = done[0]
    assert partial.endswith(".partial")
    assert done == [partial, f"{partial} -> tuning.json", tmp_path.name]


ENDLESS = """
import sys
from pathlib import Path
from fer_edge.config import Config
from fer_edge.settings.overrides import Tuning
tuning, number = Tuning(Config(), Path(sys.argv[1])), 0
while True:
    number = number % 100 + 1
    for key in ("detector/max_faces", "quality/min_height_px", "detector/min_face_px"):
        tuning.set(key, str(number).encode())
    print("going", flush=True)
"""


def test_killed_at_any_moment_it_leaves_a_whole_file(tmp_path: Path) -> None:
    for pause in (0.001, 0.003, 0.007, 0.02):
        with subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"going\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(pause)
            process.kill()
        tuning = Tuning(Config(), tmp_path)
        assert tuning.warnings == ()
        assert tuning.config != Config()


def test_reload_takes_in_what_is_live_and_tells_what_needs_a_restart() -> None:
    config = Config()
    tuning = Tuning(config, None)
    live = "detector: {min_score: 0.6, region: [0, 0, 0.5, 1]}\nlog: {level: debug}\n"
    new = parse_config(live + "camera: {width: 1280}\nprivacy: {images: true}\n")
    reload = tuning.reload(new)
    assert reload.changed == ("detector.min_score", "detector.region", "log.level")
    assert set(reload.needs_restart) == {"camera.width", "privacy.images"}
    assert tuning.config == replace(config, detector=Detector(min_score=0.6, region=(0, 0, 0.5, 1)), log=new.log)
    again = tuning.reload(new)
    assert (again.changed, again.needs_restart) == ((), reload.needs_restart)  # still so
    assert tuning.reload(config).needs_restart == ()  # the file is as it was: no restart is needed any more


def test_a_change_from_outside_stays_over_a_reload_until_the_file_agrees(tmp_path: Path) -> None:
    tuning = Tuning(CONFIG, tmp_path)
    tuning.set("detector/min_score", b"0.6")
    assert tuning.reload(CONFIG).changed == ()
    reload = tuning.reload(replace(CONFIG, detector=Detector(min_score=0.4, max_faces=3)))
    assert reload.changed == ("detector.max_faces",)
    assert tuning.config.detector == Detector(min_score=0.6, max_faces=3)
    reload = tuning.reload(replace(CONFIG, detector=Detector(min_score=0.6, max_faces=3)))
    assert (reload.changed, reload.warnings, stored(tmp_path)) == ((), (), {})
    tuning.reload(CONFIG)
    assert tuning.config == CONFIG  # it follows the file again


def test_alerts_come_go_and_change_live(tmp_path: Path) -> None:
    tuning = Tuning(CONFIG, tmp_path)
    tuning.set("alerts/door/enabled", b"OFF")
    tuning.set("alerts/till/min_faces", b"2")
    new = {"door": Alert(expressions=("anger",), active_hours="22:00-06:00"), "yard": Alert(expressions=("fear",))}
    reload = tuning.reload(Config(alerts=new))
    assert reload.needs_restart == ()
    assert {"alerts.door.expressions", "alerts.door.active_hours", "alerts.till.min_faces"} <= set(reload.changed)
    assert "alerts.yard.min_confidence" in reload.changed
    assert "alerts.door.enabled" not in reload.changed
    (warning,) = reload.warnings
    assert '"alerts.till.min_faces" is dropped' in warning
    assert tuning.config.alerts == {**new, "door": replace(new["door"], enabled=False)}
    assert tuning.set("alerts/yard/enabled", b"OFF").accepted
    assert not tuning.set("alerts/till/enabled", b"OFF").accepted
    assert stored(tmp_path) == {"alerts.door.enabled": False, "alerts.yard.enabled": False}


def test_a_change_that_the_new_file_makes_impossible_is_dropped_in_words() -> None:
    tuning = Tuning(CONFIG, None)
    tuning.set("events/leave", b"0.45")
    reload = tuning.reload(replace(CONFIG, events=Events(enter=0.4, leave=0.3)))
    assert reload.changed == ("events.enter", "events.leave")
    what = "events.leave: expected at most events.enter (0.4), got 0.45"
    assert reload.warnings == (f'the change to "events.leave" is dropped: {what}',)
    assert tuning.config.events == Events(enter=0.4, leave=0.3)


def test_a_configuration_that_contradicts_itself_is_not_taken_in() -> None:
    """configfile.py lets none through; but nothing that comes here may end in one."""
    tuning = Tuning(CONFIG, None)
    reload = tuning.reload(replace(CONFIG, events=Events(enter=0.1, leave=0.9)))
    assert (reload.changed, reload.needs_restart) == ((), ("events.enter", "events.leave"))
    assert tuning.config == CONFIG


FRACTIONS = st.sampled_from([0.0, 0.2, 0.35, 0.6, 1.0])
RULES = st.builds(Alert, expressions=st.just(("fear",)), enabled=st.booleans())
CONFIGS = st.builds(
    Config,
    detector=st.builds(Detector, min_score=FRACTIONS, max_faces=st.integers(1, 5)),
    events=FRACTIONS.map(lambda enter: Events(enter=enter, leave=enter / 2)),
    alerts=st.dictionaries(st.sampled_from(["door", "till", "yard"]), RULES),
)


@settings(max_examples=60)  # each one writes to the disk
@given(st.lists(CHANGES | CONFIGS, max_size=10))
def test_any_order_of_changes_and_reloads_leaves_a_valid_configuration(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tuning, base = Tuning(CONFIG, Path(folder)), CONFIG
        for step in steps:
            before = tuning.config
            if isinstance(step, Config):
                reload, base = tuning.reload(step), step
                assert reload.needs_restart == ()
                assert bool(reload.changed) == (tuning.config != before)
            else:
                tuning.set(*step)
            assert valid(tuning.config)
        again = Tuning(base, Path(folder))
        assert (again.config, again.warnings) == (tuning.config, ())
