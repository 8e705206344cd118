"""What blueprints for automations do in Home Assistant, filled in as a user would.

    python tests/support/homeassistant_blueprints.py FOLDER

Runs in an environment of its own, where the package homeassistant is installed (see homeassistant_schemas.py), and
imports nothing of fer-edge. Each blueprint becomes an automation of a real instance, whose watched entity then goes
through outages and changes. Prints a line per blueprint with the actions that came of it; exits with 1 where one is
refused.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

EXAMPLES: dict[str, Any] = {
    "alert": "binary_sensor.watched",
    "expression": "binary_sensor.watched",
    "watched": "binary_sensor.watched",
    "picture": "image.picture",
    "scene": "scene.evening",
    "notify_action": "notify.phone",
    "say_end": True,
    "lasts": 0,
    "rest": 0,
    "minutes": 0,
    "actions": [{"action": "light.turn_off", "target": {"entity_id": "light.hall"}}],
}
"""What a user enters."""

STATES = (*("unavailable", "on", "unavailable", "off", "unknown", "on", "unavailable", "off"), "on", "off")
"""Of the watched entity: only the last two are changes of its own."""

CALLED = ("notify.phone", "scene.turn_on", "light.turn_off")


def filled(path: Path) -> dict[str, Any]:
    """An automation. Raises what Home Assistant has against the blueprint."""
    models = import_module("homeassistant.components.blueprint")
    schema = import_module("homeassistant.components.blueprint.schemas").BLUEPRINT_SCHEMA
    data = import_module("homeassistant.util.yaml").load_yaml_dict(str(path))
    blueprint = models.Blueprint(data, expected_domain="automation", schema=schema)
    given = {name: EXAMPLES[name] for name in blueprint.inputs}
    inputs = models.BlueprintInputs(blueprint, {"use_blueprint": {"path": path.name, "input": given}})
    inputs.validate()
    made = {name: value for name, value in inputs.async_substitute().items() if name != "use_blueprint"}
    automation = {"id": path.stem, "alias": path.stem, **made}
    import_module("homeassistant.components.automation.config").PLATFORM_SCHEMA(automation)
    return automation


async def instance(folder: str) -> Any:
    """Home Assistant with its configuration there, and nothing in it."""
    hass = import_module("homeassistant.core").HomeAssistant(folder)
    hass.config.skip_pip = True
    import_module("homeassistant.loader").async_setup(hass)
    import_module("homeassistant.helpers.frame").async_setup(hass)
    hass.config_entries = import_module("homeassistant.config_entries").ConfigEntries(hass, {})
    await import_module("homeassistant.bootstrap").async_load_base_functionality(hass)
    return hass


async def actions_of(path: Path, folder: str) -> list[str]:
    """What an automation calls while its entity goes through STATES."""
    hass = await instance(folder)
    automation = filled(path)
    called: list[str] = []
    for action in CALLED:
        hass.services.async_register(*action.split("."), lambda call: called.append(f"{call.domain}.{call.service}"))
    set_up = import_module("homeassistant.setup").async_setup_component
    if not await set_up(hass, "automation", {"automation": [automation]}):
        raise ValueError("the automation cannot be set up")
    await hass.async_start()
    if hass.states.get(f"automation.{automation['alias']}").state != "on":
        raise ValueError("the automation is not in force")
    hass.states.async_set("image.picture", "2999-01-01T00:00:00+00:00")
    for state in STATES:
        hass.states.async_set("binary_sensor.watched", state, {"expressions": ["fear"], "friendly_name": "Alert"})
        await hass.async_block_till_done()
        await asyncio.sleep(0.05)
        await hass.async_block_till_done()
    await hass.async_stop(force=True)
    return called


async def main(folder: str) -> int:
    """Try each blueprint in an instance of its own."""
    print("Home Assistant", import_module("homeassistant.const").__version__)
    refused = 0
    for path in sorted(Path(folder).rglob("*.yaml")):
        try:
            with tempfile.TemporaryDirectory() as config:
                print(f"ok  {path.name}:", *await actions_of(path, config))
        except Exception as error:  # of several libraries: whatever it is, it is refused
            refused += 1
            print(f"refused  {path.name}: {type(error).__name__}: {error}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
