"""Home Assistant's discovery, by which entities appear there: one message that describes the device and
all its entities (MQTT device discovery, Home Assistant 2024.11 and later).

Pure functions: the MQTT sink publishes what they return, retained. Ids depend on the device id alone, so another name,
topic or prefix keeps the entities and their history.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fer_edge.config import Config
from fer_edge.records import Hub, Identity
from fer_edge.settings.tunables import Tunable
from fer_edge.sinks.mqtt.entities import MACHINE_KEYS, Entity, entities_of
from fer_edge.sinks.mqtt.short_names import abbreviated, spelled_out

Message = tuple[str, bytes]
"""A topic and a payload, to be published retained with QoS 1."""


def discovery(identity: Identity, config: Config, *, tunables: Sequence[Tunable] = ()) -> Message:
    """The message that makes the device and its entities appear."""
    base = f"{config.mqtt.topic}/{identity.device_id}"
    payload = {
        "device": _device(identity, config),
        "origin": {"name": "fer-edge", "sw_version": identity.version},
        "availability": [{"topic": f"{base}/availability"}, {"topic": f"{base}/camera/availability"}],
        "availability_mode": "all",
        "qos": 1,
        "components": dict(
            _component(entity, identity.device_id)
            for entity in entities_of(base, config, tunables)
            if identity.hub is None or entity.key not in MACHINE_KEYS
        ),
    }
    return discovery_topic(identity, config), msgspec.json.encode(abbreviated(payload))


def hub_discovery(hub: Hub, identity: Identity, config: Config) -> Message:
    """The message that makes the daemon's own device appear, with what several cameras have in common; its figures are
    those of the first camera, whose identity and configuration these are."""
    base = f"{config.mqtt.topic}/{hub.first}"
    payload = {
        "device": _described(hub.device_id, hub.name, identity, _page(config)),
        "origin": {"name": "fer-edge", "sw_version": identity.version},
        "availability": [{"topic": f"{base}/availability"}],
        "qos": 1,
        "components": dict(
            _component(entity, hub.device_id) for entity in entities_of(base, config, ()) if entity.key in MACHINE_KEYS
        ),
    }
    return _topic(hub.device_id, config), msgspec.json.encode(abbreviated(payload))


def discovery_topic(identity: Identity, config: Config) -> str:
    """Where the device is described."""
    return _topic(identity.device_id, config)


def _topic(device_id: str, config: Config) -> str:
    return f"{config.homeassistant.prefix}/device/{_object_id(device_id)}/config"


def split(message: Message, prefix: str) -> Iterator[Message]:
    """The same as a message for each entity, for brokers that reject a large one."""
    payload, node = spelled_out(msgspec.json.decode(message[1])), message[0].split("/")[-2]
    shared = {name: value for name, value in payload.items() if name != "components"}
    for key, component in payload["components"].items():
        name = re.sub(r"[^a-zA-Z0-9_-]", "-", key.partition(".")[2])
        options = {option: value for option, value in component.items() if option != "platform"}
        topic = f"{prefix}/{component['platform']}/{node}/{name}/config"
        yield topic, msgspec.json.encode(abbreviated(shared | options))


def removals(old: Message, new: Message | None) -> Message | None:
    """What to publish before `new`, so that what only `old` had disappears. None: there is nothing of that kind.

    Args:
        old: what was published last; one that cannot be read counts as nothing.
        new: what is to be published now. None: the device is to disappear.

    """
    if new is None or new[0] != old[0]:
        return old[0], b""
    payload = msgspec.json.decode(new[1])
    components = payload["cmps"]
    gone = {key: {"p": platform} for key, platform in _platforms(old[1]).items() if key not in components}
    return (new[0], msgspec.json.encode(payload | {"cmps": components | gone})) if gone else None


def _platforms(payload: bytes) -> dict[str, str]:
    """Each component of a message and its platform, without those that it removes."""
    try:
        components = spelled_out(msgspec.json.decode(payload))["components"]
        return {key: component["platform"] for key, component in components.items() if len(component) > 1}
    except (ValueError, LookupError, TypeError, AttributeError):  # cut off, or not a message of ours
        return {}


def _object_id(device_id: str) -> str:
    return f"fer-edge-{device_id}"


def _device(identity: Identity, config: Config) -> dict[str, Any]:
    hub, page = identity.hub, _page(config)
    if hub is None:
        return _described(identity.device_id, config.homeassistant.name, identity, page)
    own = page and f"{page}camera/{identity.device_id.removeprefix(f'{hub.device_id}-')}/"
    above = {"via_device": _object_id(hub.device_id)}
    return _described(identity.device_id, config.homeassistant.name, identity, own) | above


def _described(device_id: str, name: str | None, identity: Identity, page: str | None) -> dict[str, Any]:
    return {
        "identifiers": [_object_id(device_id)],
        "name": name or f"fer-edge {device_id}",
        "manufacturer": "fer-edge",
        "model": "Facial expression sensor",
        "sw_version": identity.version,
        **({"configuration_url": page} if page else {}),
    }


def _page(config: Config) -> str | None:
    """Where other machines find the live page."""
    host, port = config.web.host, config.web.port
    if not config.web.enabled or not port or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    if host in ("0.0.0.0", "::"):  # noqa: S104 - this is not where we listen
        host = f"{socket.gethostname().partition('.')[0]}.local"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _component(entity: Entity, device_id: str) -> tuple[str, dict[str, Any]]:
    """An entity under its id in the message. That begins with the platform: one that changes is another component,
    for Home Assistant cannot turn a number into a switch."""
    slug = re.sub(r"[^a-z0-9]+", "_", f"fer_edge_{device_id}_{entity.key}".lower())
    ids = {
        "platform": entity.platform,
        "unique_id": f"fer-edge.{device_id}.{entity.key}",
        "default_entity_id": f"{entity.platform}.{slug}",
        "object_id": slug,  # what Home Assistant reads before 2025.10
    }
    return f"{entity.platform}.{entity.key}", ids | entity.options
