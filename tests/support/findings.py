"""What is wrong with a configuration."""

from __future__ import annotations

import pytest

from fer_edge.errors import ConfigError
from fer_edge.settings.loader import parse_config


def findings(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return list(caught.value.findings)
