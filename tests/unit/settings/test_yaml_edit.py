"""configedit.py: values change, everything else stays as it was, to the character."""

from __future__ import annotations

import difflib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.errors import ConfigError
from fer_edge.settings.loader import parse_config
from fer_edge.settings.yaml_edit import edited
from tests.support.paths import ROOT

SHIPPED = (ROOT / "config.yaml").read_text(encoding="utf-8")


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_the_shipped_configuration() -> None:
    after = edited(SHIPPED, {"events.enter": 0.65, "tracking.smoothing_seconds": 1.2, "log.level": "debug"})
    assert changed_lines(SHIPPED, after) == [
        "-  smoothing_seconds: 0.6",
        "+  smoothing_seconds: 1.2",
        "-  enter: 0.5",
        "+  enter: 0.65",
        "-  level: info",
        '+  level: "debug"',
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "events:\n  enter: 0.6\n"),
        ("# mine\n", "# mine\nevents:\n  enter: 0.6\n"),
        ("events:   # why\n", "events:   # why\n  enter: 0.6\n"),
        ("events:\nlog: {level: info}\n", "events:\n  enter: 0.6\nlog: {level: info}\n"),
        ("events: {leave: 0.2}  # short\n", "events: {leave: 0.2, enter: 0.6}  # short\n"),
        ("events: {}\n", "events: {enter: 0.6}\n"),
        ("events:\n    leave: 0.2   # low\n\n# next\nlog:\n    level: info\n", None),
        ("events:\n  enter:   0.5   # aligned\n", "events:\n  enter:   0.6   # aligned\n"),
        ("events: {enter: 0.5}", "events: {enter: 0.6}"),
        ("log:\n  level: info", "log:\n  level: info\nevents:\n  enter: 0.6\n"),
        ("events:\n  enter:\n    0.5\n", "events:\n  enter:\n    0.6\n"),
        ("{events: {enter: 0.5}}\n", "{events: {enter: 0.6}}\n"),
        ("{log: {level: info}}\n", "{log: {level: info}, events: {enter: 0.6}}\n"),
    ],
)
def test_where_a_key_goes(before: str, after: str | None) -> None:
    if after is None:
        after = "events:\n    leave: 0.2   # low\n    enter: 0.6\n\n# next\nlog:\n    level: info\n"
    assert edited(before, {"events.enter": 0.6}) == after


def test_an_alert_three_levels_deep() -> None:
    before = "alerts:\n  sad:\n    expressions: [sadness]  # of anybody\n  # and\n  cross:\n    expressions: [anger]\n"
    after = edited(before, {"alerts.sad.for_seconds": 9.0, "alerts.cross.enabled": False})
    config = parse_config(after)
    assert (config.alerts["sad"].for_seconds, config.alerts["cross"].enabled) == (9.0, False)
    assert changed_lines(before, after) == ["+    for_seconds: 9.0", "+    enabled: false"]


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("events: 3\n", {"events.enter": 0.6}, r"c\.yaml: expected keys below events; change it by hand"),
        (
            "alerts:\n  a: &a {expressions: [anger]}\n  b: *a\n",
            {"alerts.a.for_seconds": 9.0},
            r"c\.yaml: alerts\.b\.for_seconds would change too, through an alias \(\*\); change it by hand",
        ),
        (
            "events: {leave: 0.3}\n",
            {"events.enter": 0.1},
            r"c\.yaml:1: section events, key leave: expected at most events\.enter \(0\.1\)",
        ),
    ],
)
def test_what_cannot_be_changed(text: str, changes: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        edited(text, changes, name="c.yaml")


@settings(max_examples=20)
@given(st.floats(0.4, 0.9), st.sampled_from(["events.enter", "tracking.smoothing_seconds", "quality.max_blur"]))
def test_only_that_value_is_another(value: float, key: str) -> None:
    after = yaml.safe_load(edited(SHIPPED, {key: value}))
    section, name = key.split(".")
    assert after[section].pop(name) == value
    before = yaml.safe_load(SHIPPED)
    del before[section][name]
    assert after == before
