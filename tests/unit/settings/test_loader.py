"""config.py and settings/loader.py: strict, complete, all findings at once."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.config import Alert, Config, Zone, json_schema
from fer_edge.errors import ConfigError
from fer_edge.settings.loader import NAMED, SECTIONS, load_config, parse_config
from tests.support.findings import findings
from tests.support.paths import ROOT


def test_an_empty_file_means_the_defaults() -> None:
    assert parse_config("") == Config()
    assert parse_config("camera:\nmqtt: {}\n") == Config()


def test_the_shipped_file_holds_every_key_with_its_default() -> None:
    path = ROOT / "config.yaml"
    assert load_config(path) == Config()
    loaded = yaml.safe_load(path.read_text())
    assert [loaded.pop(name) for name in NAMED] == [None, None]  # their keys are names
    sections = {name: kind for name, kind in SECTIONS.items() if name not in NAMED}
    expected = {name: {field.name for field in msgspec.structs.fields(kind)} for name, kind in sections.items()}
    assert {name: set(keys) for name, keys in loaded.items()} == expected


def test_the_example_of_an_alert_can_be_used_and_has_every_key_with_its_default() -> None:
    text = (ROOT / "config.yaml").read_text()
    block = text[text.index("alerts:") : text.index("\nsummary:")]
    example = re.sub(r"^  #   ", "  ", block, flags=re.MULTILINE)
    rules = parse_config(example).alerts
    assert rules == {"distress": Alert(expressions=("sadness", "fear", "anger"), active_hours="22:00-06:30")}
    assert set(yaml.safe_load(example)["alerts"]["distress"]) == {field.name for field in msgspec.structs.fields(Alert)}


def test_the_example_of_a_zone_can_be_used_and_has_every_key_with_its_default() -> None:
    text = (ROOT / "config.yaml").read_text()
    block = text[text.index("zones:") : text.index("\nalerts:")]
    example = re.sub(r"^  #   ", "  ", block, flags=re.MULTILINE)
    zones = parse_config(example).zones
    assert zones == {"door": Zone(points=((0.1, 0.2), (0.5, 0.2), (0.5, 0.9), (0.1, 0.9)))}
    assert set(yaml.safe_load(example)["zones"]["door"]) == set(Zone.__struct_fields__)


@pytest.mark.parametrize(
    ("points", "what"),
    [
        ("[[0, 0], [1, 1]]", "expected a list of length >= 3, got [[0, 0], [1, 1]]"),
        ("[]", "expected a list of length >= 3, got []"),
        ("[[0, 0], [1.2, 0], [1, 1]]", "expected a number <= 1.0 (item 1, counted from 0), got "),
        ("[[0, 0], [1, -0.1], [1, 1]]", "expected a number >= 0.0 (item 1, counted from 0), got "),
        ("[[0, 0], [.nan, 0], [1, 1]]", "expected a number >= 0.0 (item 1, counted from 0), got "),
        ("[[0, 0], [.inf, 0], [1, 1]]", "expected a number <= 1.0 (item 1, counted from 0), got "),
        ("[[0, 0], [1, 0, 1], [1, 1]]", "expected a list of length 2, got 3 (item 1, counted from 0), got "),
        ("[[0, 0], 1, [1, 1]]", "expected a list (item 1, counted from 0), got "),
        ("whole", 'expected a list, got "whole"'),
        ("[[0, 0], [1, 0], [1, 1], [0, 0]]", "expected each point once ([0, 0] appears twice; the last one joins "),
        ("[[0, 0], [1, 1], [1, 0], [0, 1]]", "expected the points in order around the zone (side 1 crosses or "),
        (
            "[[0, 0], [0.5, 0.5], [1, 1]]",
            "expected the points in order around the zone (side 1 crosses or touches side 3",
        ),
        ("[[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]", "expected the points in order around the zone (side 1 "),
    ],
)
def test_points_that_are_no_polygon_are_one_finding(points: str, what: str) -> None:
    (finding,) = findings(f"zones:\n  door:\n    points: {points}\nalerts:\n")
    assert finding.startswith(f"config.yaml:3: section zones, key door.points: {what}")


@pytest.mark.parametrize(
    "points",
    [
        "[[0, 0], [1, 0], [1, 1]]",
        "[[0, 0], [1, 1], [1, 0]]",  # the other way round
        "[[0, 0], [0.5, 0], [1, 0], [1, 1], [0.5, 0.1], [0, 1]]",  # straight on at a corner, then a dent
        "[[0, 0], [0.3, 0.3], [0.7, 0.7], [0, 1]]",
    ],
)
def test_polygons_may_have_dents_and_corners_on_a_line(points: str) -> None:
    assert len(parse_config(f"zones:\n  door:\n    points: {points}\n").zones["door"].points) >= 3


def test_findings_within_zones() -> None:
    square = "{points: [[0, 0], [1, 0], [1, 1]]}"
    names = ("till 1", "a/b", "1", "door", "door")
    text = "".join(["zones:\n", *(f"  {name}: {square}\n" for name in names), "  yard: {anchor: foot}\n"])
    named = "expected a name of 1 to 64 letters, digits, _ and -, got"
    assert findings(text) == [
        f'config.yaml:2: section zones, key till 1: {named} "till 1"',
        f'config.yaml:3: section zones, key a/b: {named} "a/b"',
        f"config.yaml:4: section zones, key 1: {named} 1",
        "config.yaml:6: section zones, key door.points: given twice (first on line 5); keep one",
        "config.yaml:6: section zones, key door: given twice (first on line 5); keep one",
        'config.yaml:7: section zones, key yard: expected keys below it, points among them, got {"anchor": "foot"}',
    ]
    assert findings("zones: [1]") == [
        "config.yaml:1: section zones: expected a name with keys below it for each zone, got [1]"
    ]
    (anchor,) = findings("zones:\n  door: {points: [[0, 0], [1, 0], [1, 1]], anchor: feet}\n")
    assert anchor.endswith('key door.anchor: expected one of "centre", "foot", got "feet"')


def test_an_alert_names_a_zone_that_is_there() -> None:
    rule = "alerts:\n  sad: {expressions: [sadness], zone: door}\n"
    assert findings(rule) == [
        "config.yaml:2: section alerts, key sad.zone: "
        'expected null or a name of section zones, which has none, got "door"'
    ]
    (finding,) = findings(rule + "zones:\n  yard: {points: [[0, 0], [1, 0], [1, 1]]}\n")
    assert "which has yard, got" in finding
    (only,) = findings(rule + "zones:\n  door: {points: [[0, 0], [1, 0]]}\n")  # the zone is to blame, not the alert
    assert "door.points" in only


@pytest.mark.parametrize("odd", ["{2020-01-01: 1}", "&a [*a]"])
def test_values_that_json_cannot_show_are_findings_too(odd: str) -> None:
    (finding,) = findings(f"camera:\n  source: {odd}\n")
    assert finding.startswith("config.yaml:2: section camera, key source: expected text, got ")


def test_findings_within_alerts() -> None:
    text = """\
alerts:
  distress:
    expressions: [sadness, angry]
    for_second: 5
  a b:
    expressions: [anger]
  calm: 3
  empty:
    expressions: []
    active_hours: 22:00-25:00
  distress:
    expressions: [anger]
"""
    assert findings(text) == [
        'config.yaml:5: section alerts, key a b: expected a name of 1 to 64 letters, digits, _ and -, got "a b"',
        "config.yaml:7: section alerts, key calm: expected keys below it, expressions among them, got 3",
        "config.yaml:9: section alerts, key empty.expressions: expected one or more of "
        '"anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", got []',
        "config.yaml:10: section alerts, key empty.active_hours: expected two times of day in quotes, such as "
        '"22:00-06:30", got "22:00-25:00"',
        "config.yaml:11: section alerts, key distress: given twice (first on line 2); keep one",
        "config.yaml:12: section alerts, key distress.expressions: given twice (first on line 3); keep one",
    ]
    (wrong,) = findings("alerts:\n  distress:\n    expressions: [sadness, angry]\n")
    assert wrong.endswith('"surprise", got ["sadness", "angry"]')
    (unknown,) = findings("alerts:\n  distress:\n    expressions: [fear]\n    for_second: 5\n")
    assert unknown.endswith("key distress.for_second: unknown, expected a key of distress; did you mean for_seconds?")
    assert findings("alerts: 5") == [
        "config.yaml:1: section alerts: expected a name with keys below it for each alert, got 5"
    ]


def test_the_shipped_file_explains_every_key() -> None:
    """Each key, or the group of keys that it closes, has a comment above it. `enabled` needs none."""
    lines = (ROOT / "config.yaml").read_text().splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if line.startswith("  ")
        and ":" in line
        and not line.strip().startswith("#")
        and before
        and not before.startswith("  ")
    ]
    assert [line.strip() for line in bare] == ["enabled: true"]


def test_all_findings_come_at_once_with_line_section_key_expected_and_got() -> None:
    text = """\
camera:
  backend: picam
  widht: 3
detector:
  region: [0, 0, 2, 1]
  min_score: high
mqt: {}
events: 5
"""
    found = findings(text)
    assert [line.split(": ")[0] for line in found] == [f"config.yaml:{n}" for n in (2, 3, 5, 6, 7, 8)]
    assert "section camera, key backend" in found[0]
    assert '"picamera2", "replay", "stream", "v4l2"' in found[0]
    assert 'got "picam"' in found[0]
    assert "did you mean width?" in found[1]
    assert "item 2" in found[2]
    assert 'expected a number, got "high"' in found[3]
    assert "did you mean mqtt?" in found[4]
    assert "expected keys below it, got 5" in found[5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("events: {enter: 0.4, leave: 0.6}", "expected at most events.enter (0.4), got 0.6"),
        ("detector: {region: [0.5, 0, 0.5, 1]}", "left < right"),
        ("detector: {input_size: [16, 192]}", "expected a whole number >= 32 (item 0, counted from 0)"),
        ("detector: {input_size: [256, 4000]}", "expected a whole number <= 2048 (item 1, counted from 0)"),
        ("detector: {input_size: 256}", "expected a list or null, got 256"),
        ("detector: {input_size: [256]}", "expected a list of length 2"),
        ("quality: {min_brightness: 0.9, max_brightness: 0.5}", "less than quality.max_brightness"),
        ("camera: {backend: replay}", "expected a file, folder or URL"),
        ("camera: {backend: v4l2, gain: 2.0}", 'key gain: expected null: backend "v4l2" cannot set it'),
        ("camera: {backend: stream, source: x, hdr: night}", 'key hdr: expected none: backend "stream" cannot'),
        ("camera: {focus: manual}", "key focus_dioptres: expected a number when focus is manual"),
        ("camera: {focus_dioptres: 2}", "key focus_dioptres: expected a number when focus is manual, otherwise null"),
        ("camera: {exposure_us: 70000}", "key exposure_us: expected at most 66666, the time between two frames at 15"),
        ("camera: {pace: max}", "key pace: expected real: a live camera sets its own pace, got "),
        ("camera: {backend: v4l2, loop: true}", "key loop: expected false: a live camera has no end to loop from"),
        ("camera: {backend: stream, source: 'rtsp://x/y', pace: max}", "key pace: expected real"),
        ("mqtt: {broker: embedded, version: '5'}", "does not support MQTT 5"),
        ("mqtt: {broker: embedded, tls: true}", "neither tls, username nor websockets"),
        ("mqtt: {password_file: /x}", "expected mqtt.username to be set too"),
        ("mqtt: {tls: true, cert_file: /x}", "cert_file and key_file together"),
        ("mqtt: {ca_file: /x}", "expected true"),
        ("camera: {fps: 5, fps: 6}", "given twice"),
        ("camera: {fps: 0}", "expected a number > 0.0, got 0"),
        ("camera: {width: 3.5}", "expected a whole number, got 3.5"),
        ("camera: {loop: maybe}", 'expected true or false, got "maybe"'),
        ("camera: {source: 7}", "expected text, got 7"),
        ("device: {id: 'a b'}", "1 to 64 letters"),
        ("nonsense: 1", "known: device, camera"),
        ("mqtt: {version: 5}", 'expected one of "3.1.1", "5", "auto"; put it in quotes, got 5'),
        ('device: {id: "cam\\n"}', "1 to 64 letters"),
        ('jsonl: {path: "a\\0b"}', "text without control characters"),
        ("mqtt: {broker: 'mqtt://here'}", "a host name or address alone"),
        ("mqtt: {broker: '10.0.0.1:1883'}", "a host name or address alone"),
        ("mqtt: {port: 0}", "expected 1 to 65535"),
        ("events: {enter: 0.2, foo: 1}", "expected at most events.enter (0.2)"),  # beside the unknown key
        ("device: {id: 2024-13-45}", "config.yaml:1: not valid YAML"),
        ("device: {id: !!timestamp abc}", "config.yaml:1: not valid YAML"),
        ("x: " + "[" * 3000, "not valid YAML"),
        ("x: " + "9" * 5000, "not valid YAML"),
        ("camera:\n  source: \a", "config.yaml:2: not valid YAML"),
        ("- a list", "expected sections such as 'camera:'"),
        ("events: [", "not valid YAML"),
        ("a: \0", "not valid YAML"),
        ("1: 2", "unknown"),
        ("camera: {1: 2}", "unknown"),
        ('camera: {"a\\nb": 2}', 'key "a\\nb": unknown'),
    ],
)
def test_each_mistake_has_its_words(text: str, words: str) -> None:
    assert any(words in line for line in findings(text)), findings(text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot read the configuration: No such file"):
        load_config(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.yaml")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*SECTIONS, "camra"]),
        JUNK | st.dictionaries(st.sampled_from(["fps", "enter", "port", "region", "id", "x"]), JUNK, max_size=4),
        max_size=4,
    )
)
def test_any_yaml_is_taken_or_refused_in_one_line_per_finding(document: dict[str, Any]) -> None:
    findings: tuple[str, ...] | None = None
    try:
        parse_config(yaml.safe_dump(document))
    except ConfigError as error:
        findings = error.findings
    if findings is not None:
        assert findings
        assert all(line.startswith("config.yaml:") and "\n" not in line for line in findings)


def test_the_published_schema_is_current() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert json.loads((ROOT / "docs" / "config.schema.json").read_text()) == schema
    assert schema["$defs"]["Camera"]["properties"]["fps"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 240,
        "default": 15.0,
    }
    assert schema["$defs"]["Camera"]["additionalProperties"] is False


def test_an_alert_may_be_about_signals() -> None:
    on = "attention: {enabled: true}\n"
    rules = parse_config(f"{on}alerts:\n  away: {{signals: [looked_away], for_seconds: 5}}\n").alerts
    assert rules == {"away": Alert(signals=("looked_away",), for_seconds=5.0)}
    (finding,) = findings("alerts:\n  away: {signals: [looked_away]}\n")
    assert "section alerts, key away.signals: expected attention.enabled: true beside looked_away" in finding
    (finding,) = findings(f"{on}alerts:\n  away: {{signals: []}}\n")
    assert "key away.expressions: expected one or more, or else signals" in finding
    (finding,) = findings(f"{on}alerts:\n  away: {{signals: [sleeps]}}\n")
    assert (
        'expected one or more of "eyes_closed", "looked_away", "looks", "mouth_open", "perclos", "smiles", "yawns", '
        'got ["sleeps"]' in finding
    )


def test_eyes_and_mouth_take_the_model_for_intensities() -> None:
    (finding,) = findings("eyes_mouth: {enabled: true}\n")
    assert "section eyes_mouth, key enabled: expected models.intensity: intensity beside it" in finding
    assert parse_config("eyes_mouth: {enabled: true}\nmodels: {intensity: intensity}\n").eyes_mouth.enabled
    for section in ("intensities", "drowsiness"):
        (finding,) = findings(f"{section}: {{enabled: true}}\n")
        assert f"section {section}, key enabled: expected models.intensity: intensity beside it" in finding
    slow = "drowsiness: {enabled: true}\nmodels: {intensity: intensity}\ncamera: {fps: 10}\n"
    (finding,) = findings(slow)
    assert "section drowsiness, key min_fps: expected at most camera.fps (10), or nothing is known" in finding
    assert parse_config(slow.replace("true", "true, min_fps: 10")).drowsiness.min_fps == 10
