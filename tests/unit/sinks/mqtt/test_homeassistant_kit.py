"""examples/homeassistant: the blueprints and the dashboard fit what the daemon announces, and Home Assistant itself."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fer_edge.config import Alert, Attention, Config, Pictures, Privacy, Zone
from fer_edge.settings.overrides import Tuning
from fer_edge.sinks.mqtt.discovery import discovery
from fer_edge.sinks.mqtt.short_names import spelled_out
from tests.support.face_events import IDENTITY
from tests.support.paths import ROOT

KIT = ROOT / "examples" / "homeassistant"
BLUEPRINTS = sorted((KIT / "blueprints").rglob("*.yaml"))
ENTITY = re.compile(r"\b(?:binary_sensor|sensor|event|switch|image|number|button)\.fer_edge_\w+")
CONFIG = Config(
    alerts={"distress": Alert(expressions=("sadness", "fear"))},
    zones={"door": Zone(points=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0)))},
    privacy=Privacy(images=True),
    pictures=Pictures(enabled=True, at=("alert",)),
    attention=Attention(enabled=True),
)


class Input(str):
    """A place that the user of a blueprint fills."""


class Loader(yaml.SafeLoader):
    """YAML with Home Assistant's tag."""


Loader.add_constructor("!input", lambda _, node: Input(node.value))


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.load(path.read_text(), Loader))


def walk(node: Any) -> Iterator[Any]:
    yield node
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(below)


def announced() -> set[str]:
    """The entities that the daemon makes, and Home Assistant shows."""
    tunables = Tuning(CONFIG, None).tunables()
    message = spelled_out(msgspec.json.decode(discovery(IDENTITY, CONFIG, tunables=tunables)[1]))
    shown = [each for each in message["components"].values() if each.get("enabled_by_default", True)]
    return {str(each["default_entity_id"]) for each in shown}


@pytest.mark.parametrize("path", [*BLUEPRINTS, KIT / "dashboard.yaml"], ids=lambda path: path.name)
def test_every_entity_is_one_that_the_daemon_makes(path: Path) -> None:
    named = set(ENTITY.findall(path.read_text()))
    assert named
    assert named - announced() == set()


def test_there_are_three_blueprints() -> None:
    assert [path.stem for path in BLUEPRINTS] == ["alert_notification", "expression_scene", "nobody_looked"]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.name)
def test_no_trigger_fires_after_an_outage(path: Path) -> None:
    triggers = read(path)["triggers"]
    assert triggers
    for trigger in triggers:
        assert trigger["trigger"] == "state"
        assert {"unavailable", "unknown"} <= set(trigger["not_from"])
        assert "to" in trigger, "a trigger without it fires when attributes change"


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.name)
def test_what_is_asked_for_is_used(path: Path) -> None:
    content = read(path)
    asked = content.pop("blueprint")["input"]
    assert {str(each) for each in walk(content) if isinstance(each, Input)} == set(asked)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.name)
def test_templates_can_be_read(path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2", reason="pip install jinja2")
    templates = [each for each in walk(read(path)) if isinstance(each, str) and ("{{" in each or "{%" in each)]
    for template in templates:
        jinja2.Environment().parse(template)


def test_the_page_names_the_kit() -> None:
    page = (ROOT / "docs" / "home-assistant.md").read_text()
    table = (KIT / "README.md").read_text()
    assert "../examples/homeassistant/README.md" in page
    assert all(path.name in table for path in (*BLUEPRINTS, KIT / "dashboard.yaml"))


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Have Home Assistant look at the blueprints in a folder, or skip."""
    python = os.environ.get("FER_EDGE_HOMEASSISTANT_PYTHON")
    if not python:
        pytest.skip("FER_EDGE_HOMEASSISTANT_PYTHON names no Python that has homeassistant and paho-mqtt")
    script = ROOT / "tests" / "support" / "homeassistant_blueprints.py"
    return subprocess.run([python, script, folder], capture_output=True, text=True, check=False, timeout=100)


def test_home_assistant_acts_as_the_blueprints_say_and_not_after_an_outage() -> None:
    done = check(KIT / "blueprints")
    assert done.returncode == 0, done.stdout + done.stderr
    actions = "notify.phone notify.phone", "scene.turn_on", "light.turn_off"
    wanted = [f"ok  {path.name}: {called}" for path, called in zip(BLUEPRINTS, actions, strict=True)]
    assert done.stdout.splitlines()[1:] == wanted


def test_home_assistant_refuses_a_wrong_blueprint(tmp_path: Path) -> None:
    """Otherwise the test above would say nothing."""
    text = BLUEPRINTS[0].read_text()
    (tmp_path / "a.yaml").write_text(text.replace("not_from:", "not_fron:"))
    (tmp_path / "b.yaml").write_text(text.replace("!input alert", "!input alarm"))
    (tmp_path / "c.yaml").write_text(text.replace("| join(', ') }}", "| join(', '"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["refused"] * 3
