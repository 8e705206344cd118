"""The short names that Home Assistant knows for the options of an entity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def abbreviated(payload: dict[str, Any]) -> dict[str, Any]:
    """A message with Home Assistant's short names of options."""
    return dict(_renamed(payload, SHORT))


def spelled_out(payload: dict[str, Any]) -> dict[str, Any]:
    """The same with their full names."""
    return dict(_renamed(payload, {short: name for name, short in SHORT.items()}))


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(each, names) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        # the keys of components are ids, no options
        names.get(key, key): (
            {id_: _renamed(each, names) for id_, each in value.items()}
            if key in ("components", "cmps")
            else _renamed(value, names)
        )
        for key, value in node.items()
    }


SHORT = {
    "availability": "avty",
    "availability_mode": "avty_mode",
    "command_topic": "cmd_t",
    "components": "cmps",
    "configuration_url": "cu",
    "device": "dev",
    "device_class": "dev_cla",
    "enabled_by_default": "en",
    "entity_category": "ent_cat",
    "event_types": "evt_typ",
    "expire_after": "exp_aft",
    "icon": "ic",
    "identifiers": "ids",
    "json_attributes_template": "json_attr_tpl",
    "json_attributes_topic": "json_attr_t",
    "manufacturer": "mf",
    "model": "mdl",
    "object_id": "obj_id",
    "options": "ops",
    "origin": "o",
    "payload_off": "pl_off",
    "payload_on": "pl_on",
    "payload_press": "pl_prs",
    "platform": "p",
    "state_class": "stat_cla",
    "state_topic": "stat_t",
    "sw_version": "sw",
    "topic": "t",
    "unique_id": "uniq_id",
    "unit_of_measurement": "unit_of_meas",
    "value_template": "val_tpl",
}
"""Option -> its short name, as in Home Assistant's documentation of MQTT discovery; one that does not have one in every
version since 2024.11 is spelled out."""
