"""Passwords and tokens: from a file, a systemd credential or the environment, never from config.yaml itself."""

from __future__ import annotations

import os
from pathlib import Path

from fer_edge.errors import ConfigError

MOST_BYTES = 65_535
"""No longer password fits into MQTT."""

EXPECTED = "expected one line with the secret alone"


def secret(name: str, file: str | None) -> str | None:
    """A secret such as `mqtt-password`: from the file that config names, else from systemd's
    $CREDENTIALS_DIRECTORY/NAME, else from the environment (FER_EDGE_MQTT_PASSWORD). Never logged.

    Raises:
        ConfigError: the file cannot be read, is empty, or too long for a secret.

    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder, name) if folder else None
    path = Path(file) if file else credential if credential and credential.exists() else None
    if path is None:
        return os.environ.get("FER_EDGE_" + name.upper().replace("-", "_"))
    try:
        with path.open("rb") as opened:  # at most so much: /dev/zero has no end
            content = opened.read(MOST_BYTES + 1)
        value = content.decode("utf-8-sig").rstrip("\r\n")  # an editor's byte order mark is no part of it
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the secret {name!r}: {reason}; check path and permissions") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: the secret {name!r} has more than {MOST_BYTES} bytes; {EXPECTED}")
    if not value:
        raise ConfigError(f"{path}: the secret {name!r} is empty; {EXPECTED}")
    return value
