"""Messages about unknown keys and values, purposes and secrets."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.runtime.secret import secret
from fer_edge.settings import neighbours
from fer_edge.settings.loader import NAMED, parse_config
from tests.support.findings import findings


def test_secrets_come_from_file_then_credential_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("FER_EDGE_MQTT_PASSWORD", raising=False)
    assert secret("mqtt-password", None) is None
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "from environment")
    assert secret("mqtt-password", None) == "from environment"
    (tmp_path / "mqtt-password").write_text("from credential\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret("mqtt-password", None) == "from credential"
    (tmp_path / "own").write_text("from file")
    assert secret("mqtt-password", str(tmp_path / "own")) == "from file"
    with pytest.raises(ConfigError, match="cannot read the secret 'mqtt-password': No such file"):
        secret("mqtt-password", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="/dev/zero: the secret 'mqtt-password' has more than 65535 bytes; expected"):
        secret("mqtt-password", "/dev/zero")


@pytest.mark.parametrize("purpose", ["workplace", "education"])
def test_a_prohibited_purpose_is_refused_with_the_law(purpose: str) -> None:
    (finding,) = findings(f"device: {{id: hall}}\nprivacy:\n  purpose: {purpose}\n")
    assert finding.startswith("config.yaml:3: section privacy, key purpose: inferring the emotions of people")
    assert "Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f)" in finding
    assert "privacy.medical_or_safety: true" in finding
    assert finding.endswith(f'got "{purpose}"')
    assert findings(f"privacy: {{purpose: {purpose}, medical_or_safety: false}}")
    assert parse_config(f"privacy: {{purpose: {purpose}, medical_or_safety: true}}").privacy.purpose == purpose


@pytest.mark.parametrize("purpose", ["home", "research", "retail", "care", "safety"])
def test_other_purposes_need_no_reason(purpose: str) -> None:
    assert parse_config(f"privacy: {{purpose: {purpose}}}").privacy.purpose == purpose


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "javascript:alert(1)", "https://a b"])
def test_the_notices_address_is_one_for_browsers(url: str) -> None:
    (finding,) = findings(f'privacy: {{notice_url: "{url}"}}')
    assert 'expected an address such as "https://example.org/camera"' in finding


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mqtt: {host: x}", "key host: unknown, expected a key of mqtt; here it is broker, the host alone, and port"),
        (
            "mqtt: {password: x}",
            "here it is password_file: a file that holds it alone, so that",
        ),
        ("mqtt: {user: x}", "here it is username"),
        ("mqtt: {topic-prefix: x}", "here it is topic"),
        ("camera: {framerate: 3}", "here it is fps"),
        ("camera: {Resolution: 640x480}", "here it is width and height, in px"),
        ("camera: {rotate: 90}", "here it is rotation: 0, 90, 180 or 270"),
        ("detector: {threshold: 0.4}", "here it is min_score"),
        ("events: {confidence: 0.4}", "here it is enter"),
        ("web: {password: x}", "here it is token_file: "),
        ("logging: {level: info}", "section logging: unknown, expected a section; here it is log"),
        (
            "alerts: {a: {expressions: [fear], threshold: 0.5}}",
            "key a.threshold: unknown, .*; here it is min_confidence",
        ),
        ("zones: {till: {polygon: [[0, 0], [1, 0], [1, 1]]}}", "key till: expected keys below it, points among them"),
        ("alerts: {a: {expressions: [sad, fear, Angry]}}", '"sad" is sadness here; "Angry" is anger here; expected'),
        (
            "alerts: {a: {expressions: [fear, happy, surprised, fearful, disgusted]}}",
            r'"disgusted" is disgust here; expected',
        ),
        ("camera: {backend: rtsp}", '"rtsp" is stream here; expected one of'),
        ("camera: {backend: picamera}", '"picamera" is picamera2 here'),
        ("log: {level: WARN}", '"WARN" is warning here'),
        ("camera: {fsp: 3}", "did you mean fps"),
        ("camera: {backend: teapot}", r"expected one of [^?]*, got \"teapot\""),
    ],
)
def test_hints_know_the_neighbours(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(text)


def test_neighbours_lead_to_keys_that_are_there() -> None:
    known = {section.name: NAMED.get(section.name, (section.type,))[0] for section in msgspec.structs.fields(Config)}
    for section, hints in neighbours.KEYS.items():
        keys = known[section].__struct_fields__
        for foreign, hint in hints.items():
            assert foreign not in keys, f"{section}.{foreign} is a key of ours"
            first = re.match(r"\w+", hint)
            assert first
            elsewhere = re.match(r"\w+ in section (\w+)", hint)
            where = known[elsewhere[1]].__struct_fields__ if elsewhere else keys
            assert first[0] in where or hint.startswith("no key"), f"{section}.{foreign}: {hint}"
    for foreign, hint in neighbours.SECTIONS.items():
        assert foreign not in known
        assert hint.split()[0] in known
