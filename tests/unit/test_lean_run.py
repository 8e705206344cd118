"""What `fer-edge run` loads: memory on a Zero 2 W is not spent on what a configuration never uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PROBE = """
import json, sys
from fer_edge.__main__ import main
code = main(["run", "--config", sys.argv[1]])
print(json.dumps([code, sorted(sys.modules)]))
"""

NEVER = ("av", "difflib", "fer_edge.drawing.painter", "fer_edge.testing", "numpy.ma", "segno", "xml")
"""What no camera and broker need: films, the help for misspelt keys, drawing, masked arrays."""

NUMPY = ("numpy.fft", "numpy.polynomial", "numpy.random", "numpy.testing", "unittest")
"""What NumPy loads only for those who ask: a megabyte or two."""

PASSWORDS = ("_cffi_backend", "argon2", "pwdlib")

WEB = ("fastapi", "starlette", "uvicorn", "jinja2", "pydantic")
EMBEDDED = ("amqtt", "asyncio", "fer_edge.sinks.mqtt.embedded")


def loaded(tmp_path: Path, sections: str) -> set[str]:
    """The modules of a daemon that has looked at one picture."""
    picture = ROOT / "fer_edge" / "camera" / "pictures" / "astronaut.jpg"
    path = tmp_path / "config.yaml"
    path.write_text(
        f"device: {{id: lean-{os.getpid()}}}\nstate: {{folder: {tmp_path / 'state'}}}\n"
        f"camera: {{backend: replay, source: {picture}}}\nlog: {{level: warning}}\n{sections}"
    )
    run = subprocess.run([sys.executable, "-c", PROBE, path], capture_output=True, text=True, check=True, cwd=tmp_path)
    code, modules = json.loads(run.stdout)
    assert code == 0, run.stderr
    return set(modules)


def test_the_demo_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    pytest.importorskip("amqtt.broker")
    modules = loaded(
        tmp_path,
        "mqtt: {broker: embedded, port: 0}\noutbox: {enabled: false}\nhomeassistant: {enabled: false}\n",
    )
    assert modules.isdisjoint({*NEVER, *NUMPY, *WEB, *PASSWORDS})
    assert "fer_edge.sinks.mqtt.embedded" in modules, "the probe sees what is loaded"


def test_a_broker_elsewhere_needs_no_embedded_one(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "mqtt: {broker: 127.0.0.1, port: 1}\n")
    assert modules.isdisjoint({*NEVER, *NUMPY, *WEB, *EMBEDDED})
    assert "fer_edge.sinks.mqtt.outbox" in modules


def test_without_mqtt_no_client_is_loaded(tmp_path: Path) -> None:
    modules = loaded(
        tmp_path, f"mqtt: {{enabled: false}}\njsonl: {{enabled: true, path: {tmp_path / 'events.jsonl'}}}\n"
    )
    assert modules.isdisjoint({*NEVER, *NUMPY, *WEB, *EMBEDDED, "paho", "sqlite3", "ssl"})
    assert "fer_edge.sinks.jsonl" in modules
