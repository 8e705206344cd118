"""Whether Home Assistant takes a device discovery message.

    python tests/support/homeassistant_schemas.py PAYLOAD.json

Runs in an environment of its own, where the packages homeassistant and paho-mqtt are installed (2024.11 and later; see
test_homeassistant.py), and imports nothing of fer-edge. Prints a line per component; exits with 1 where one is
refused, or has an option that Home Assistant does not know: it would drop it without a word.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

MQTT = "homeassistant.components.mqtt"
IDS = {"object_id", "default_entity_id"}  # before, and from 2025.10


def device_wide(payload: dict[str, Any]) -> dict[str, Any]:
    """What Home Assistant hands on to each component of a message (mqtt/discovery.py does the same)."""
    shared: list[str] = import_module(f"{MQTT}.schemas").SHARED_OPTIONS
    return {name: payload[name] for name in ("device", "origin", *shared) if name in payload}


def complaint(component: dict[str, Any], common: dict[str, Any], refusal: type[Exception]) -> str | None:
    """What Home Assistant has against a component."""
    options = {name: value for name, value in component.items() if name != "platform"}
    if not options:
        return None  # to be removed
    try:
        taken = import_module(f"{MQTT}.{component['platform']}").DISCOVERY_SCHEMA(common | options)
    except refusal as error:
        return str(error)
    unknown = options.keys() - taken.keys()
    if unknown >= IDS:
        return f"neither {' nor '.join(sorted(IDS))} is known"
    return f"unknown: {', '.join(sorted(unknown - IDS))}" if unknown - IDS else None


async def main(path: str) -> int:
    """Needs a running loop and an instance of Home Assistant: templates are compiled by the latter."""
    with tempfile.TemporaryDirectory() as folder:
        import_module("homeassistant.core").HomeAssistant(folder)
        return check(path)


def check(path: str) -> int:
    schemas = import_module(f"{MQTT}.schemas")
    # the library that checks: voluptuous, and probatio in 2026.11
    refusal: type[Exception] = (getattr(schemas, "probatio", None) or schemas.vol).Invalid
    payload = json.loads(Path(path).read_text(encoding="utf-8"))
    import_module(f"{MQTT}.discovery")._replace_all_abbreviations(payload)  # as it does with what comes in
    print("Home Assistant", import_module("homeassistant.const").__version__)
    try:
        schemas.DEVICE_DISCOVERY_SCHEMA(payload)
    except refusal as error:
        print(f"refused  the message: {error}")
        return 1
    common, refused = device_wide(payload), 0
    for key, component in payload["components"].items():
        why = complaint(component, common, refusal)
        refused += why is not None
        print(f"refused  {key}: {why}" if why else f"ok  {key}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
