"""A camera's password from a secret store, so that config.yaml and its address hold none."""

from __future__ import annotations

import re
from urllib.parse import quote

from fer_edge.camera import PRIVATE_NAMES
from fer_edge.errors import ConfigError
from fer_edge.runtime.secret import secret

PLACE = "{password}"
"""Where an address wants its password, if that is not behind the user, before the host."""
ADDRESS = re.compile(r"(?P<user>[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*)(?P<host>@[^@/?#]*)(?P<rest>.*)", re.DOTALL)
FIELD = re.compile(rf"[/?&;_,]({PRIVATE_NAMES})[=:][^&/;?#]", re.IGNORECASE)


def wants_password(source: str) -> bool:
    """Whether an address has a place for a password and holds none: `rtsp://user@host`, or `{password}` in it."""
    return "://" in source and (PLACE in source or _user(source).count(":") == 1)


def holds_password(source: str) -> bool:
    """Whether an address holds a password: behind the user, in its path or its query."""
    bare = source.replace(PLACE, "")
    return "://" in source and (bool(re.search("://[^:]*:.", _user(bare))) or bool(FIELD.search(bare)))


def with_password(source: str, file: str | None) -> str:
    """The address with its password: that of `file`, of the credential `camera-password`, or of the environment.

    Raises:
        ConfigError: the file cannot be used, or `{password}` stands in the address and there is none.

    """
    if not wants_password(source):
        return source
    password = quote(secret("camera-password", file) or "", safe="")
    if PLACE in source:
        if not password:
            what = "set camera.password_file, or the credential camera-password (docs/security.md)"
            raise ConfigError(f"section camera, key source: expected a password for its {PLACE}, got none; {what}")
        return source.replace(PLACE, password)
    found = ADDRESS.match(source)
    return f"{found['user']}:{password}{found['host']}{found['rest']}" if found and password else source


def _user(source: str) -> str:
    """An address up to its @; empty where it names no user."""
    found = ADDRESS.match(source)
    return found["user"] if found else ""
