"""Passwords and tokens: from a file, a systemd credential or the environment, never from config.yaml itself."""

from __future__ import annotations

import os
from pathlib import Path

from fer_edge.errors import ConfigError


def secret(name: str, file: str | None) -> str | None:
    """A secret such as `mqtt-password`: from the file that config names, else from systemd's
    $CREDENTIALS_DIRECTORY/NAME, else from the environment (FER_EDGE_MQTT_PASSWORD). Never logged.

    Raises:
        ConfigError: the file that config names cannot be read.

    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder, name) if folder else None
    path = Path(file) if file else credential if credential and credential.exists() else None
    if path is None:
        return os.environ.get("FER_EDGE_" + name.upper().replace("-", "_"))
    try:
        value = path.read_text(encoding="utf-8-sig").rstrip("\r\n")  # an editor's byte order mark is no part of it
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the secret {name!r}: {reason}; check path and permissions") from None
    if not value:
        raise ConfigError(f"{path}: the secret {name!r} is empty; expected one line with the secret alone")
    return value
