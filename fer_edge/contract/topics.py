"""The MQTT contract as data: every topic, who sends it and how, and the JSON Schema of its payload.

`python -m fer_edge.contract` prints docs/mqtt-payloads.md, `--schema` docs/mqtt.schema.json.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from fer_edge.contract.payloads import (
    CONTRACT,
    AlertPayload,
    CameraPayload,
    ConfigPayload,
    EventPayload,
    InfoPayload,
    ReadingsPayload,
    RequestPayload,
    ResponsePayload,
    StatePayload,
    StatsPayload,
    SummaryPayload,
    ZonePayload,
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic below `<mqtt.topic>/<device id>/`."""

    name: str  # <x> stands for any name
    payload: type[msgspec.Struct] | str  # or what it is, in words
    when: str
    retained: bool = False
    qos: int = 1
    received: bool = False  # the daemon listens there


TOPICS = (
    Topic("availability", "`online` or `offline`", "after every connect; at the end, or by the broker (will)", True),
    Topic("camera/availability", "`online` or `offline`", "with the first frame; when the camera is lost", True),
    Topic("camera/status", CameraPayload, "when it changes", retained=True),
    Topic("info", InfoPayload, "after every connect, and when `restart_required` changes", retained=True),
    Topic("state", StatePayload, "when it changes", retained=True),
    Topic("event", EventPayload, "when something happens to a face"),
    Topic("zone/<name>", ZonePayload, "when it changes", retained=True),
    Topic("alert/<name>", AlertPayload, "when it turns on or off", retained=True),
    Topic("readings", ReadingsPayload, "with frames, where `readings.enabled`", qos=0),
    Topic("summary", SummaryPayload, "every `summary.interval_seconds`"),
    Topic("stats", StatsPayload, "every `stats.interval_seconds`", qos=0),
    Topic("set/<section>/<key>", "a JSON value, or as plain text", "yours: another value", received=True),
    Topic("config/<section>/<key>", ConfigPayload, "after every connect, and in answer to `set`", retained=True),
    Topic("request/<operation>", RequestPayload, "yours: `ping`, `reload`, `restart` or `snapshot`", received=True),
    Topic("response/<operation>", ResponsePayload, "in answer to `request`"),
    Topic(
        "picture/<event>", "a JPEG picture", "at `start`, `enter/<zone>` or `alert/<name>`; `pictures.enabled`", qos=0
    ),
    Topic("snapshot", "a JPEG picture", "in answer to `request/snapshot`, where `privacy.images`", qos=0),
)


def topic_of(name: str) -> Topic:
    """The topic that a name below `<mqtt.topic>/<device id>/` belongs to. Raises KeyError."""
    for topic in TOPICS:
        fixed = topic.name.partition("<")[0]
        if name == topic.name or ("<" in topic.name and name.startswith(fixed)):
            return topic
    raise KeyError(name)


def payload_types() -> tuple[type[msgspec.Struct], ...]:
    """Every payload type, in the order of the topics."""
    return tuple(topic.payload for topic in TOPICS if not isinstance(topic.payload, str))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every payload: `topics` leads from a topic to its definition."""
    references, definitions = _schemas(payload_types())
    named = zip((topic for topic in TOPICS if not isinstance(topic.payload, str)), references, strict=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"fer-edge MQTT contract, version {CONTRACT}",
        "topics": {topic.name: reference for topic, reference in named},
        "$defs": definitions,
    }


def _schemas(kinds: Iterable[type[msgspec.Struct]]) -> tuple[tuple[Any, ...], dict[str, dict[str, Any]]]:
    """References and definitions; msgspec before 0.23 leaves a docstring's indentation in the description."""
    references, definitions = msgspec.json.schema_components(kinds)
    return references, {
        name: schema | {"description": inspect.cleandoc(schema["description"])} if "description" in schema else schema
        for name, schema in definitions.items()
    }


def page() -> str:
    """The page for people, in Markdown."""
    return "\n".join(
        [
            "# MQTT payloads",
            "",
            "Made by `python -m fer_edge.contract` from the types in `fer_edge/contract/payloads.py`;",
            "[mqtt.md](mqtt.md) says how they are used. JSON Schema: [mqtt.schema.json](mqtt.schema.json).",
            "",
            "| topic | retained | QoS | when | payload |",
            "|---|---|---|---|---|",
            *(_row(topic) for topic in TOPICS),
            *(line for kind in payload_types() for line in _section(kind)),
            "",
        ]
    )


def _row(topic: Topic) -> str:
    shown = topic.payload if isinstance(topic.payload, str) else f"[{_title(topic.payload)}](#{_title(topic.payload)})"
    retained = "no, and ignored if it is" if topic.received else "yes" if topic.retained else "no"
    return f"| `{topic.name}` | {retained} | {'any' if topic.received else topic.qos} | {topic.when} | {shown} |"


def _title(kind: type[msgspec.Struct]) -> str:
    return kind.__name__.removesuffix("Payload").lower()


def _section(kind: type[msgspec.Struct]) -> Iterator[str]:
    (_,), definitions = _schemas([kind])
    for name, schema in definitions.items():
        if name != "ModelId":  # its two fields need no section
            title = _title(kind) if name == kind.__name__ else f"{_title(kind)}: {name}"
            yield from ("", f"## {title}", "", schema["description"], "", "| field | type | meaning |", "|---|---|---|")
            optional = schema["properties"].keys() - set(schema.get("required", ()))
            for field, what in schema["properties"].items():
                sometimes = "; not always there" if field in optional else ""
                yield f"| `{field}` | {_type(what)} | {what.get('description', '')}{sometimes} |"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "type" not in schema:
        return "any"
    if schema["type"] == "array" and "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} numbers"
    return str(schema["type"])


def main() -> int:
    """Print the page, or the schema."""
    print(json.dumps(json_schema(), indent=2) if "--schema" in sys.argv[1:] else page(), end="")
    return 0
