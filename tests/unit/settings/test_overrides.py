"""tuning.py: which keys can be set, to what, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fer_edge.config import Alert, Config, Fraction, Pixels
from fer_edge.settings.names import full_name, hint_of, short_name
from fer_edge.settings.overrides import Refused, Tuning, key_of, parse, topic_of
from fer_edge.settings.tunables import ALERT, LIVE, Tunable
from tests.support.tuning_helpers import BUILTINS, CHANGES, CONFIG, KEYS, PAYLOADS, REFUSED, reason, valid


def test_these_keys_can_be_set_and_no_others() -> None:
    sections = "detector", "quality", "tracking", "events", "readings", "stats", "rate", "log", "camera"
    fixed = {"detector.input_size", "detector.region"}
    fixed |= {f"camera.{key}" for key in BUILTINS["camera"] if key != "paused"}
    expected = {f"{section}.{key}" for section in sections for key in BUILTINS[section]} - fixed
    expected |= {f"alerts.{name}.{key}" for name in ("door", "till") for key in ALERT}
    assert sorted(KEYS) == sorted(expected)
    assert set(ALERT) == set(Alert.__struct_fields__) - {"expressions", "signals", "active_hours", "zone"}
    assert set(LIVE) == set(sections)


@pytest.mark.parametrize("key", REFUSED)
def test_every_other_key_is_refused_whatever_the_payload(key: str) -> None:
    for payload in (b"true", b"1", b'"x"', b""):
        assert reason(key, payload).startswith(f'"{key}": ')
    assert Tuning(CONFIG, None).set(key, b"1").value is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("privacy/images", "privacy settings can only be changed in config.yaml"),
        ("privacy", "can only be changed in config.yaml"),
        ("camera/width", "needs a restart; change it in config.yaml"),
        ("detector/region", "drawn on the live page"),
        ("zones/door", "drawn on the live page"),
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
        ("quality/max_brightness", b"0", "quality.min_brightness: expected less than quality.max_brightness, got 0.08"),
    ],
)
def test_a_refused_value_has_its_words(key: str, payload: bytes, words: str) -> None:
    assert words in reason(key, payload)


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
    assert found["detector.max_faces"] == Tunable("detector.max_faces", "int", 3, 3, 10, minimum=1, maximum=100)
    reach = Tunable("tracking.reach", "number", 1.5, 1.5, 1.5, minimum=0, maximum=10, above_minimum=True)
    assert found["tracking.reach"] == reach
    assert found["readings.enabled"] == Tunable("readings.enabled", "bool", False, False, False)
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


def test_a_setting_is_called_the_same_wherever_it_is_shown() -> None:
    for tunable in Tuning(CONFIG, None).tunables():
        name = short_name(tunable.key)
        assert full_name(tunable.key).lower().endswith(name.lower())
        assert hint_of(tunable.key), tunable.key
    assert full_name("events.enter") == "Reporting: enter threshold"
    assert full_name("camera.paused") == "Privacy pause"
