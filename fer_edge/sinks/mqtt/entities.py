"""The entities that Home Assistant shows of a device: what each is called, which topic it reads, by which template."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fer_edge.config import Alert, Config, Zone
from fer_edge.records import LABELS, EventType
from fer_edge.settings.names import full_name
from fer_edge.settings.overrides import topic_of
from fer_edge.settings.tunables import Tunable
from fer_edge.sinks.mqtt.figures import EVERYDAY, FIGURES
from fer_edge.tracking.signals import enabled_signals
from fer_edge.tracking.signals.signal import Signal

UNCLEAR = "unclear"
"""The type of an event by which a face has no expression any more."""

EVENT_TYPES = (EventType.START.value, EventType.END.value, *LABELS, UNCLEAR)
ZONE_EVENT_TYPES = (EventType.ENTER.value, EventType.LEAVE.value)
EVENT_ATTRIBUTES = ("event_id", "track_id", "expression", "confidence", "previous", "dwell_s", "reason", "face_count")
ICONS = {
    "neutral": "emoticon-neutral-outline",
    "happiness": "emoticon-happy-outline",
    "surprise": "emoticon-excited-outline",
    "sadness": "emoticon-sad-outline",
    "anger": "emoticon-angry-outline",
    "disgust": "emoticon-sick-outline",
    "fear": "emoticon-frown-outline",
    "contempt": "emoticon-confused-outline",
}
MISSED_STATS = 3
"""Figures missing for this many intervals are no longer shown."""

THROTTLED_BITS = ("under_voltage", "frequency_capped", "throttled", "too_hot")
"""The Pi firmware's bits 0 to 3: what holds now."""


PAUSE = "camera.paused"

MACHINE_KEYS = ("temperature", "memory", "throttled", "restart")
"""Keys of what several cameras in one daemon have in common."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity: a component of the message."""

    platform: str
    key: str  # dotted; unique within the device and the same for ever
    options: dict[str, Any]


def entities_of(base: str, config: Config, tunables: Sequence[Tunable]) -> Iterator[Entity]:
    """All entities of a device whose topics begin with `base`."""
    yield from _faces(base, zones=bool(config.zones))
    yield from _zones(base, config.zones)
    yield from _signals(base, enabled_signals(config))
    yield from _alerts(base, config.alerts)
    yield from _figures(base, config.stats.interval_seconds)
    yield from _tunables(base, tunables)
    yield from _requests(base, images=config.privacy.images)
    yield from _pictures(base, config)


def _daemon(base: str) -> dict[str, Any]:
    """The availability of an entity that does not need the camera."""
    return {"availability": [{"topic": f"{base}/availability"}]}


def _json_of(*fields: str, maybe: Sequence[str] = ()) -> str:
    """A template: these fields of a payload as JSON; of `maybe` a list that is not always there."""
    pairs = [f"'{name}': value_json.{name}" for name in fields]
    pairs += [f"'{name}': value_json.{name} | default([])" for name in maybe]
    return "{{ {" + ", ".join(pairs) + "} | tojson }}"


def _faces(base: str, *, zones: bool) -> Iterator[Entity]:
    """Faces in view, and their expressions."""
    state = {"state_topic": f"{base}/state"}
    yield Entity(
        "sensor",
        "faces",
        state
        | {
            "name": "Faces",
            "value_template": "{{ value_json.faces }}",
            "state_class": "measurement",
            "unit_of_measurement": "faces",
            "icon": "mdi:face-recognition",
            "json_attributes_topic": f"{base}/state",
            "json_attributes_template": "{{ value_json.expressions | tojson }}",
        },
    )
    yield Entity(
        "sensor",
        "dominant",
        state
        | {
            "name": "Dominant expression",
            "value_template": "{{ value_json.dominant or 'none' }}",
            "device_class": "enum",
            "options": [*LABELS, "none"],
            "icon": "mdi:emoticon-outline",
        },
    )
    yield _event(base, zones=zones)
    for label in LABELS:
        template = f"{{{{ 'ON' if value_json.expressions.{label} > 0 else 'OFF' }}}}"
        named = {"name": label.capitalize(), "icon": f"mdi:{ICONS[label]}"}
        options = state | named | {"value_template": template, "device_class": "occupancy"}
        yield Entity("binary_sensor", f"expression.{label}", options)


def _signals(base: str, signals: Sequence[Signal]) -> Iterator[Entity]:
    """With how many faces in view each signal is on; of a level the mean over them."""
    for signal in signals:
        name = signal.words[0].upper() + signal.words[1:]
        options = {
            "name": name if signal.has_value else f"Faces: {signal.words}",
            "state_topic": f"{base}/state",
            "value_template": f"{{{{ value_json.signals.{signal.name} }}}}",
            "state_class": "measurement",
            "icon": f"mdi:{signal.icon}",
            **({} if signal.has_value else {"unit_of_measurement": "faces"}),
        }
        yield Entity("sensor", f"signal.{signal.name}", options)


def _event(base: str, *, zones: bool) -> Entity:
    """What happens to faces. The template yields nothing, so nothing fires, for what is long past (replayed) and for
    a heartbeat (`FaceEvent.is_heartbeat`), which is no news.

    It does not need the camera: the ends of all faces come just after the camera is lost.
    """
    attributes = "".join(f", '{name}': value_json.{name}" for name in EVENT_ATTRIBUTES)
    if zones:  # not every event has them
        attributes += "".join(f", '{name}': value_json.{name} | default(none)" for name in ("zone", "zone_dwell_s"))
    template = (
        "{% set later = value_json.event_type == 'update' %}{% set shown = value_json.expression %}"
        "{% if not (value_json.replayed or (later and shown == value_json.previous)) %}"
        f"{{{{ {{'event_type': (shown or '{UNCLEAR}') if later else value_json.event_type{attributes}}} | tojson }}}}"
        "{% endif %}"
    )
    options = {
        "name": "Face",
        "state_topic": f"{base}/event",
        "event_types": (*EVENT_TYPES, *(ZONE_EVENT_TYPES if zones else ())),
        "value_template": template,
        "icon": "mdi:account-eye",
    }
    return Entity("event", "face", options | _daemon(base))


def _zones(base: str, zones: Mapping[str, Zone]) -> Iterator[Entity]:
    """How many faces are in each zone, and whether there is any."""
    for name in zones:
        topic, words = f"{base}/zone/{name}", _words(name)
        count = {
            "name": f"Zone {words} faces",
            "state_topic": topic,
            "value_template": "{{ value_json.faces }}",
            "state_class": "measurement",
            "unit_of_measurement": "faces",
            "icon": "mdi:vector-polygon",
            "json_attributes_topic": topic,
            "json_attributes_template": "{{ value_json.expressions | tojson }}",
        }
        yield Entity("sensor", f"zone.{name}", count)
        occupancy = {
            "name": f"Zone {words}",
            "state_topic": topic,
            "value_template": "{{ value_json.state }}",
            "device_class": "occupancy",
            "json_attributes_topic": topic,
            "json_attributes_template": _json_of("since"),
        }
        yield Entity("binary_sensor", f"zone.{name}", occupancy)


def _alerts(base: str, alerts: Mapping[str, Alert]) -> Iterator[Entity]:
    """The enabled ones."""
    for name, alert in alerts.items():
        if alert.enabled:
            topic = f"{base}/alert/{name}"
            options = {
                "name": f"Alert {_words(name)}",
                "state_topic": topic,
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": topic,
                "json_attributes_template": _json_of(
                    "since", "expressions", "faces", maybe=("signals",) if alert.signals else ()
                ),
                "icon": "mdi:bell-alert",
            }
            yield Entity("binary_sensor", f"alert.{name}", options)


def _figures(base: str, interval_seconds: float) -> Iterator[Entity]:
    """Diagnostics of the daemon, its machine and its camera."""
    shared: dict[str, Any] = {
        "state_topic": f"{base}/stats",
        "entity_category": "diagnostic",
        "expire_after": math.ceil(MISSED_STATS * interval_seconds),
        **_daemon(base),
    }
    for key, field, options in FIGURES:
        common = shared if key in EVERYDAY else shared | {"enabled_by_default": False}
        yield Entity("sensor", key, common | {"value_template": f"{{{{ value_json.{field} }}}}"} | options)
    yield Entity("binary_sensor", "throttled", shared | _throttled(base))
    camera = {
        "name": "Camera",
        "state_topic": f"{base}/camera/availability",
        "payload_on": "online",
        "payload_off": "offline",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "json_attributes_topic": f"{base}/camera/status",
        "json_attributes_template": _json_of("state", "reason"),
    }
    yield Entity("binary_sensor", "camera", camera | _daemon(base))


def _throttled(base: str) -> dict[str, Any]:
    """Whether the machine runs slower than it could, and why. Unknown where it is no Raspberry Pi."""
    bits = ", ".join(f"'{name}': bits // {2**bit} % 2 == 1" for bit, name in enumerate(THROTTLED_BITS))
    bits_now = 2 ** len(THROTTLED_BITS)  # the higher bits report what has occurred since boot
    return {
        "name": "Throttled",
        "device_class": "problem",
        "value_template": "{% set bits = value_json.throttled %}"
        f"{{{{ 'None' if bits is none else 'ON' if bits % {bits_now} else 'OFF' }}}}",
        "json_attributes_topic": f"{base}/stats",
        "json_attributes_template": "{% set bits = value_json.throttled %}"
        f"{{{{ ({{}} if bits is none else {{{bits}}}) | tojson }}}}",
    }


def _tunables(base: str, tunables: Sequence[Tunable]) -> Iterator[Entity]:
    """What fits a number or a switch; of an alert only whether it is enabled. Why the last attempt to set it was
    refused is an attribute."""
    for tunable in tunables:
        switch, of_alert = tunable.type == "bool", tunable.key.startswith("alerts.")
        if tunable.type == "choice" or (of_alert and not switch):
            continue
        everyday = tunable.key == PAUSE or of_alert  # the rest is disabled by default
        topic = topic_of(tunable.key)
        options = {
            "name": full_name(tunable.key),
            "command_topic": f"{base}/set/{topic}",
            "state_topic": f"{base}/config/{topic}",
            "value_template": "{{ 'ON' if value_json.value else 'OFF' }}" if switch else "{{ value_json.value }}",
            "json_attributes_topic": f"{base}/config/{topic}",
            "json_attributes_template": _json_of("status", "reason"),
            **({"icon": "mdi:eye-off"} if tunable.key == PAUSE else {"entity_category": "config"}),
            **({} if everyday else {"enabled_by_default": False}),
            **_daemon(base),
            **({} if switch else _range(tunable)),
        }
        yield Entity("switch" if switch else "number", f"set.{tunable.key}", options)


def _range(tunable: Tunable) -> dict[str, Any]:
    unit = {"unit_of_measurement": tunable.unit} if tunable.unit else {}
    return {"min": tunable.low, "max": tunable.high, "step": tunable.step, **unit}


def _requests(base: str, *, images: bool) -> Iterator[Entity]:
    """Buttons, and the picture that one of them asks for."""
    reload = {"name": "Reload configuration", "entity_category": "config", "icon": "mdi:reload"}
    yield Entity("button", "reload", _press(base, "reload") | reload | _daemon(base))
    restart = {"device_class": "restart", "entity_category": "config"}
    yield Entity("button", "restart", _press(base, "restart") | restart | _daemon(base))
    if images:
        take = {"name": "Take snapshot", "icon": "mdi:camera"}
        yield Entity("button", "snapshot", _press(base, "snapshot") | take)
        picture = {"name": "Snapshot", "image_topic": f"{base}/snapshot", "content_type": "image/jpeg"}
        yield Entity("image", "snapshot", picture)


def _pictures(base: str, config: Config) -> Iterator[Entity]:
    """The last picture of a start, of each zone and of each alert, where config asks for them."""
    wanted = config.pictures.at if config.pictures.enabled and config.privacy.images else ()
    named: dict[str, Iterable[str]] = {"start": ("",), "enter": config.zones, "alert": config.alerts}
    for kind in wanted:
        for name in named[kind]:
            words = {
                "start": "Last face",
                "enter": f"Zone {_words(name)} picture",
                "alert": f"Alert {_words(name)} picture",
            }
            topic = f"{base}/picture/{kind}/{name}".rstrip("/")
            options = {"name": words[kind], "image_topic": topic, "content_type": "image/jpeg"}
            yield Entity("image", f"picture.{kind}.{name}".rstrip("."), options)


def _words(name: str) -> str:
    """A name of config for people."""
    return re.sub("[_-]+", " ", name).strip()


def _press(base: str, operation: str) -> dict[str, Any]:
    return {"command_topic": f"{base}/request/{operation}", "payload_press": "{}"}
