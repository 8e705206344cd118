"""Changes values in the text of a config.yaml and leaves every other character, comments too, as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from fer_edge.errors import ConfigError
from fer_edge.settings.loader import parse_config
from fer_edge.settings.overlay import differences

INDENT = 2


def edited(text: str, changes: Mapping[str, Any], *, name: str = "config.yaml") -> str:
    """The text with other values.

    Args:
        text: a valid configuration.
        changes: "section.key" or "alerts.NAME.key" -> value.
        name: the file in messages.

    Raises:
        ConfigError: the text cannot be changed by this program, or the result would be wrong.

    """
    changed = text
    for key, value in changes.items():
        changed = _with(changed, key.split("."), json.dumps(value), name)
    for key in differences(parse_config(text, name=name), parse_config(changed, name=name)):
        if key not in changes:
            raise ConfigError(f"{name}: {key} would change too, through an alias (*); change it by hand")
    return changed


def _with(text: str, path: list[str], value: str, name: str) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    node: yaml.Node = root
    for depth, part in enumerate(path):
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{name}: expected keys below {'.'.join(path[:depth])}; change it by hand")
        found = next((below for key, below in node.value if key.value == part), None)
        if found is None or (depth < len(path) - 1 and _is_nothing(found)):
            return _inserted(text, node, path[depth:], value)
        node = found
    start, end = node.start_mark.index, node.end_mark.index
    return text[:start] + value + text[end:]


def _is_nothing(node: yaml.Node) -> bool:
    """`section:` with nothing behind it."""
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _inserted(text: str, mapping: yaml.MappingNode, path: list[str], value: str) -> str:
    """A key that is not there yet, as the mapping's last one."""
    if mapping.flow_style:
        at = mapping.end_mark.index - 1  # its brace
        return f"{text[:at]}{', ' if mapping.value else ''}{_nested(path, value)}{text[at:]}"
    empty = next((key for key, below in mapping.value if key.value == path[0] and _is_nothing(below)), None)
    if empty:
        indent, at, path = empty.start_mark.column + INDENT, _line_end(text, empty.end_mark.index), path[1:]
    elif mapping.value:
        indent, at = mapping.value[0][0].start_mark.column, _line_end(text, _last(mapping).end_mark.index)
    else:
        indent, at = 0, len(text)
    lines = [f"{' ' * (indent + INDENT * depth)}{part}:" for depth, part in enumerate(path)]
    before = text[:at] if not at or text[at - 1] == "\n" else text[:at] + "\n"
    return before + "\n".join(lines) + f" {value}\n" + text[at:]


def _nested(path: list[str], value: str) -> str:
    return f"{path[0]}: {_braced(path[1:], value)}" if len(path) > 1 else f"{path[0]}: {value}"


def _braced(path: list[str], value: str) -> str:
    return "{" + _nested(path, value) + "}"


def _last(node: yaml.Node) -> yaml.Node:
    """What stands last within a node: its own end mark may lie behind comments."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _last(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last(node.value[-1])
    return node


def _line_end(text: str, index: int) -> int:
    """Where the next line begins."""
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline + 1
