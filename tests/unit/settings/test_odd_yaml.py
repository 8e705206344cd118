"""settings/loader.py: YAML that a program would write, or somebody who means harm."""

from __future__ import annotations

import pytest

from fer_edge.errors import ConfigError
from fer_edge.settings.loader import load_config, show
from tests.support.findings import findings


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x"])
def test_a_value_that_is_not_what_its_tag_names_is_one_line(value: str) -> None:
    """PyYAML fails on it in its own code; a reload must not end the daemon."""
    assert findings(f"log:\n  level: {value}\n") == [
        "config.yaml:2: not valid YAML: a value is not of the kind that its tag names (such as !!bool or !!int)"
    ]


def test_a_value_that_is_nested_too_deep_is_shown_all_the_same() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert show(deep) == 57 * "[" + "..."


@pytest.mark.parametrize("first", ["{k: v}", "{2026-01-01: v}"])
def test_a_value_that_aliases_multiply_is_shown_all_the_same(first: str) -> None:
    """Written out it would have 10^20 parts."""
    aliases = [f"a{n + 1}: &a{n + 1} [{', '.join(10 * [f'*a{n}'])}]" for n in range(20)]
    *_, finding = findings("\n".join([f"a0: &a0 {first}", *aliases, "camera: {fps: *a20}"]))
    assert finding.startswith("config.yaml:22: section camera, key fps: expected a number, got [[[[")
    assert len(finding) < 150


def test_a_file_without_end_is_no_configuration() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: has more than 1000000 characters: expected a configuration$"):
        load_config("/dev/zero")
