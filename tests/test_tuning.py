"""tuning.py: what may be changed from outside, what may not, and what is left after a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fer_edge.config import Alert, Config, Detector, Events, Fraction, Pixels, combination_errors
from fer_edge.configfile import parse_config
from fer_edge.tuning import ALERT, LIVE, Refused, Tunable, Tuning, key_of, parse, topic_of

CONFIG = Config(alerts={"door": Alert(expressions=("fear",)), "till": Alert(expressions=("sadness",))})
KEYS = [answer.key for answer in Tuning(CONFIG, None).answers()]
BUILTINS = msgspec.to_builtins(CONFIG)
REFUSED = [f"{section}.{key}" for section in BUILTINS for key in BUILTINS[section] if f"{section}.{key}" not in KEYS]


def valid(config: Config) -> bool:
    """Whether config.yaml could hold it, too."""
    return msgspec.convert(msgspec.to_builtins(config), Config) == config and not combination_errors(config)


def reason(key: str, payload: bytes) -> str:
    """Why a change is refused, which leaves all as it was."""
    tuning = Tuning(CONFIG, None)
    answer = tuning.set(key, payload)
    assert not answer.accepted
    assert tuning.config == CONFIG
    return answer.reason or ""


def stored(folder: Path) -> Any:
    return json.loads((folder / "tuning.json").read_text())


def test_these_keys_can_be_set_and_no_others() -> None:
    sections = "detector", "quality", "tracking", "events", "readings", "stats", "log"
    fixed = {"detector.input_size", "detector.region"}
    expected = {f"{section}.{key}" for section in sections for key in BUILTINS[section]} - fixed
    expected |= {f"alerts.{name}.{key}" for name in ("door", "till") for key in ALERT}
    assert sorted(KEYS) == sorted(expected)
    assert set(ALERT) == set(Alert.__struct_fields__) - {"expressions", "active_hours"}
    assert set(LIVE) == set(sections)


@pytest.mark.parametrize("key", REFUSED)
def test_every_other_key_is_refused_whatever_the_payload(key: str) -> None:
    for payload in (b"true", b"1", b'"x"', b""):
        assert reason(key, payload).startswith(f'"{key}": ')
    assert Tuning(CONFIG, None).set(key, b"1").value is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("privacy/images", "what may leave the machine is decided in config.yaml alone"),
        ("privacy", "decided in config.yaml alone"),
        ("camera/width", "takes a restart; change it in config.yaml"),
        ("detector/region", "takes a restart"),
        ("alerts/door/expressions", "of an alert, only enabled, min_confidence, for_seconds"),
        ("alerts/window/enabled", "config.yaml has no alert window; it has: door, till"),
        ("detector/min_scor", "unknown; did you mean detector.min_score?"),
        ("zzz", "unknown; the sections are detector, quality"),
        ("alerts", "unknown"),
        *((name, "expected a name such as detector/min_score") for name in ("", "/", "detector/", "/detector", "a//b")),
        *((name, "expected a name such as detector/min_score") for name in ("a/b/c/d", "a/+", "é/x", "a\n", "x" * 65)),
    ],
)
def test_a_refused_key_has_its_words(key: str, words: str) -> None:
    assert words in reason(key, b"true")
    assert Tuning(CONFIG, None).set(key, b"true").key == ("" if "a name such" in words else key.replace("/", "."))


def test_both_spellings_are_one_key() -> None:
    tuning = Tuning(CONFIG, None)
    assert tuning.set("detector/min_score", b"0.6").key == "detector.min_score"
    assert tuning.set("detector.min_score", b"0.7").key == "detector.min_score"
    assert all(key_of(topic_of(key)) == key_of(key) == key for key in KEYS)


@pytest.mark.parametrize(
    ("payload", "kind", "value"),
    [
        (b" 0.6\n", Fraction, 0.6),
        (b'"0.6"', Fraction, 0.6),
        (b"1", Fraction, 1.0),
        (b"5.0", Pixels, 5),
        (b"true", bool, True),
        (b"ON", bool, True),
        (b'"off"', bool, False),
        (b"", Fraction, None),
        (b" null", Fraction, None),
    ],
)
def test_a_payload_is_json_or_plain_text(payload: bytes, kind: Any, value: object) -> None:
    got = parse(payload, kind)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("key", "payload", "words"),
    [
        ("detector/min_score", b"high", 'detector.min_score: expected a number, got "high"'),
        ("detector/min_score", b"1.5", "expected a number <= 1.0, got 1.5"),
        ("detector/min_score", b"nan", "expected a number >= 0.0"),
        ("detector/min_score", b"1e999", "number out of range"),
        ("detector/min_score", b"ON", 'expected a number, got "ON"'),
        ("detector/min_score", b'{"value": 0.5}', "expected a number, got {"),
        ("detector/min_score", b"0.5" + b" " * 254, "expected at most 256 bytes, got 257"),
        ("detector/min_score", b"\xff\xfe", "expected UTF-8 text"),
        ("detector/min_score", "1\x9b\u2028;".encode(), r"""got '"1\x9b\u2028;"'"""),
        ("detector/max_faces", b"2.5", "expected a whole number, got 2.5"),
        ("tracking/reach", b"0", "expected a number > 0.0, got 0"),
        ("readings/enabled", b"maybe", 'expected true or false, got "maybe"'),
        ("log/level", b"loud", 'expected one of "debug", "error", "info", "warning", got "loud"'),
        ("alerts/door/min_faces", b"0", "expected a whole number >= 1, got 0"),
        ("events/leave", b"0.6", "cannot be 0.6: events.leave: expected at most events.enter (0.5), got 0.6"),
        # the other one of the two is to blame, and is named
        ("events/enter", b"0.2", "cannot be 0.2: events.leave: expected at most events.enter (0.2), got 0.35"),
        ("quality/max_brightness", b"0", "quality.min_brightness: expected less than quality.max_brightness, got 0.12"),
    ],
)
def test_a_refused_value_has_its_words(key: str, payload: bytes, words: str) -> None:
    assert words in reason(key, payload)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ODD = [b"ON", b"OFF", b"debug", b"", b"null", b"1e400", b"-0", b"9" * 250, b"[" * 256, b'"\\ud800"']
PAYLOADS = (
    st.binary(max_size=300)
    | st.text(max_size=80).map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(ODD)
)
LIKELY = st.floats(0, 1).map(lambda value: str(value).encode()) | st.integers(0, 60).map(lambda n: str(n).encode())
NAMES = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(topic_of) | st.sampled_from(REFUSED) | st.text(max_size=20)
CHANGES = st.tuples(NAMES, PAYLOADS | LIKELY)


@given(PAYLOADS, st.sampled_from([Fraction, Pixels, bool]))
def test_any_payload_is_a_value_or_is_refused_in_one_line(payload: bytes, kind: Any) -> None:
    value = parse(payload, kind)
    if isinstance(value, Refused):
        assert value.reason.startswith(("expected", "number out of range"))
        assert value.reason.isprintable()
    elif value is not None:
        assert msgspec.convert(value, kind) == value


@given(st.lists(CHANGES, max_size=8))
def test_whatever_comes_the_configuration_in_force_is_valid(changes: list[tuple[str, bytes]]) -> None:
    tuning = Tuning(CONFIG, None)
    for key, payload in changes:
        before = tuning.config
        answer = tuning.set(key, payload)
        assert valid(tuning.config)
        assert answer.accepted or (answer.reason and tuning.config == before)
        assert (answer.reason or "").isprintable()
        assert (answer.value is None) == (answer.key not in KEYS)
        untouched = set(Config.__struct_fields__) - {*LIVE, "alerts"}
        assert all(getattr(tuning.config, section) == getattr(CONFIG, section) for section in untouched)


def test_a_change_is_in_force_until_an_empty_payload_takes_it_back() -> None:
    tuning = Tuning(CONFIG, None)
    assert tuning.set("alerts/till/for_seconds", b"4").value == 4.0
    assert tuning.config.alerts == {**CONFIG.alerts, "till": replace(CONFIG.alerts["till"], for_seconds=4.0)}
    assert {answer.key: answer.value for answer in tuning.answers()}["alerts.till.for_seconds"] == 4.0
    answer = tuning.set("alerts/till/for_seconds", b"")
    assert (answer.value, answer.accepted, answer.reason) == (3.0, True, None)
    assert tuning.config == CONFIG


def test_taking_back_a_change_that_another_one_needs_is_refused() -> None:
    tuning = Tuning(CONFIG, None)
    assert tuning.set("events/leave", b"0.1").accepted
    assert tuning.set("events/enter", b"0.2").accepted
    answer = tuning.set("events/leave", b"null")
    assert (answer.value, answer.accepted) == (0.1, False)
    assert "at most events.enter (0.2), got 0.35" in (answer.reason or "")


def test_tunables_tell_what_each_key_takes() -> None:
    tuning = Tuning(CONFIG, None)
    tuning.set("detector/max_faces", b"3")
    found = {tunable.key: tunable for tunable in tuning.tunables()}
    assert list(found) == KEYS
    assert found["detector.max_faces"] == Tunable("detector.max_faces", "int", 3, 10, minimum=1, maximum=100)
    reach = Tunable("tracking.reach", "number", 1.5, 1.5, minimum=0, maximum=10, above_minimum=True)
    assert found["tracking.reach"] == reach
    assert found["readings.enabled"] == Tunable("readings.enabled", "bool", False, False)
    assert set(found["log.level"].choices) == {"debug", "info", "warning", "error"}


def test_what_tunables_say_is_what_can_be_set() -> None:
    for tunable in Tuning(CONFIG, None).tunables():
        inside: list[object] = list(tunable.choices) or ["ON", "OFF"]
        outside: list[object] = ["other"]
        if tunable.minimum is not None and tunable.maximum is not None:
            inside = [tunable.maximum, tunable.minimum + 0.001 if tunable.above_minimum else tunable.minimum]
            outside = [tunable.maximum + 1, tunable.minimum if tunable.above_minimum else tunable.minimum - 1]
        for value in inside:
            answer = Tuning(CONFIG, None).set(tunable.key, str(value).encode())
            assert answer.accepted or "cannot be" in (answer.reason or "")  # refused for a combination only
        for value in outside:
            assert "expected" in reason(tunable.key, str(value).encode())


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
        ({"privacy.images": True}, 'the change of "privacy.images" is dropped: it is no key that can be set'),
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
    assert done == ["tuning.new", "tuning.new -> tuning.json", tmp_path.name]


ENDLESS = """
import sys
from pathlib import Path
from fer_edge.config import Config
from fer_edge.tuning import Tuning
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
    assert reload.changed == ("detector.min_score", "log.level")
    assert set(reload.needs_restart) == {"camera.width", "detector.region", "privacy.images"}
    assert tuning.config == replace(config, detector=Detector(min_score=0.6), log=new.log)
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
    assert reload.warnings == (f'the change of "events.leave" is dropped: {what}',)
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
