"""The load generator and the examples for fleets; its cluster of RabbitMQ nodes is for benchmarks."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.face_events import IDENTITY, face_event
from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from fleet import Arrival, Options, Report, account, measure, percentile, show

from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload

EXAMPLES = ROOT / "examples" / "fleet"


def arrival(boot_id: str, seq: int, at: float, *, latency_ms: float = 1.0, replayed: bool = False) -> Arrival:
    return Arrival(boot_id, seq, at, latency_ms, replayed)


def test_five_devices_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Mosquitto(tmp_path, "max_queued_messages 0") as broker:
        figures, reports = measure(Options(5, 3.0, 2.0, broker=("127.0.0.1", broker.port)))
    assert (figures.sent, figures.received, figures.lost, figures.duplicates) == (30, 30, 0, 0)
    assert 0 < percentile(figures.all_ms, 0.5) < 2000
    assert [(report.waiting, report.dropped) for report in reports] == [(set(), 0)]
    assert 20 < reports[0].memory_mb < 300  # its own, not that of the tests' process which began it
    show(figures, reports)
    assert re.search(r"^events, lost +0", capsys.readouterr().out, re.MULTILINE)


def test_docs_know_what_a_connection_costs(tmp_path: Path) -> None:
    documented = re.search(
        r"\| each connection \| (\d+) retained values \| (\d+) \|", (ROOT / "docs/fleet.md").read_text()
    )
    assert documented
    file = tmp_path / "config.yaml"
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        camera = {"backend": "replay", "source": "demo", "loop": True}
        mqtt = {"broker": "127.0.0.1", "port": broker.port}
        sections = {"device": {"id": f"fleet-{os.getpid()}"}, "camera": camera, "mqtt": mqtt}
        file.write_text(
            json.dumps(sections | {"state": {"folder": str(tmp_path)}, "homeassistant": {"enabled": False}})
        )
        with subprocess.Popen([sys.executable, "-m", "fer_edge", "run", "-c", str(file)]) as process:
            try:
                seen.wait(f"fleet-{os.getpid()}/event")  # behind everything that is retained
                with Recorder(broker.port) as late:
                    wait_for(lambda: len(late.messages) >= int(documented[1]), "retained values")
                    kept = {each.topic: len(each.payload) for each in late.messages if each.retain}
            finally:
                process.terminate()
    assert len(kept) == int(documented[1])
    assert sum(kept.values()) == pytest.approx(int(documented[2]), rel=0.1)


def test_what_is_lost_what_comes_twice_and_what_is_not_ours() -> None:
    arrivals = [
        arrival("a", 1, 10.0, latency_ms=5),
        arrival("a", 2, 10.5, latency_ms=7),
        arrival("a", 2, 12.5, latency_ms=2007),  # again: counts as a duplicate, not for the latency
        arrival("b", 1, 13.0, latency_ms=3000, replayed=True),
        arrival("b", 3, 13.1),  # b sent two only
        arrival("stranger", 1, 20.0),
    ]
    # b's first one arrived, but its acknowledgement did not: it still waits there, as does b's second
    figures = account({"a": 3, "b": 2}, arrivals, {("b", 1), ("b", 2)})
    assert (figures.sent, figures.received, figures.duplicates) == (5, 3, 1)
    assert (figures.undelivered, figures.lost) == (1, 1)
    assert figures.replayed == 1
    assert figures.all_ms == [5, 7, 3000]
    assert figures.direct_ms == [5, 7]
    assert figures.silence_seconds == 2.0


def test_nothing_arrives() -> None:
    figures = account({"a": 2}, [], set())
    assert (figures.received, figures.lost, figures.duplicates, figures.silence_seconds) == (0, 2, 0, 0.0)
    show(figures, [Report({"a": 2}, set(), 0, 50.0)])


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (range(1, 101), 0.99, 99),
        (range(1, 101), 0.5, 50),
        (range(1, 11), 0.99, 10),
        ([7], 0.5, 7),
        ([1, 2, 3], 0.5, 2),
        ([1, 2], 0.0, 1),
    ],
)
def test_percentiles(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_the_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.99))


def test_telegraf_reads_stats_and_serves_loopback() -> None:
    settings = tomllib.loads((EXAMPLES / "telegraf.conf").read_text())
    topics = [topic for source in settings["inputs"]["mqtt_consumer"] for topic in source["topics"]]
    assert topics == ["fer-edge/+/stats", "fer-edge/+/availability"]
    assert [output["listen"] for output in settings["outputs"]["prometheus_client"]] == ["127.0.0.1:9273"]


def stored_columns() -> list[str]:
    """The columns that consumer.py fills, read without running it: psycopg is not among what tests need."""
    values: dict[str, list[str]] = {}
    for node in ast.parse((EXAMPLES / "consumer.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List()):
                values[name] = [] if name == "COLUMNS" else ast.literal_eval(node.value)
            case ast.AugAssign(target=ast.Name(id=name), value=ast.List()):
                values[name] += ast.literal_eval(node.value)
    return values["PLAIN"] + values["ONLY_WITH_ZONES"] + values["NESTED"]


def test_the_table_has_a_column_for_each_field_of_an_event() -> None:
    columns = re.findall(r"^    ([a-z_]+) +[a-z]+", (EXAMPLES / "schema.sql").read_text(), re.MULTILINE)
    assert sorted(columns) == sorted([*EventPayload.__struct_fields__, "received"])


def test_the_consumer_stores_each_field_of_an_event() -> None:
    assert sorted(stored_columns()) == sorted(EventPayload.__struct_fields__)


def test_what_is_nested_in_an_event_is_stored_as_json() -> None:
    event = msgspec.json.decode(msgspec.json.encode(event_payload(face_event(), IDENTITY)))
    nested = {name for name, value in event.items() if isinstance(value, dict | list)}
    assert nested == {"probabilities", "box", "pose", "quality"}


@pytest.mark.parametrize("name", ["rabbitmq.conf", "haproxy.cfg"])
def test_servers_listen_on_loopback(name: str) -> None:
    lines = [line.strip() for line in (EXAMPLES / name).read_text().splitlines() if not line.strip().startswith("#")]
    binds = [line for line in lines if line.startswith(("bind", "mqtt.listeners", "listeners"))]
    assert binds
    assert all("127.0.0.1:" in line or line.endswith("none") for line in binds)
