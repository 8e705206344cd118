"""Who may connect to the embedded broker. amqtt has a plugin for the same, whose module loads password hashing too."""

from __future__ import annotations

from typing import Any

from amqtt.plugins.base import BaseAuthPlugin


class Anyone(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Accepts every client, without a password."""

    async def authenticate(self, *, session: Any) -> bool:
        """As an anonymous one: nothing is kept for it while it is away."""
        session.is_anonymous = True
        return True
