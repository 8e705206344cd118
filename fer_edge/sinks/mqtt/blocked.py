"""Messages for which a broker ends the connection without a reason: identified, logged and left out.

An MQTT 3.1.1 broker closes the connection on a message that is too large, and some do so on a forbidden
topic. After a short connection messages go one at a time, so that the one on its way is the one to blame; a
message that is on its way at the end of `CONVICTED` such connections in a row is not sent any more.
"""

from __future__ import annotations

from fer_edge.sinks.mqtt.limits import Message

CONVICTED = 3


class Blocked:
    """Knows which messages the broker rejects. For the sink's thread."""

    def __init__(self) -> None:
        self._suspect: Message | None = None
        self._blamed = 0  # times in a row
        self._blocked: set[tuple[str, int]] = set()
        self.careful = False
        """Whether messages go one at a time."""

    def __contains__(self, message: Message) -> bool:
        return bool(self._blocked) and _key(message) in self._blocked

    def link_ended(self, pending: list[Message], *, hung_up: bool, short: bool) -> Message | None:
        """A connection has ended, with these messages on their way. The one that is convicted by that, if any."""
        alone = pending[0] if self.careful and hung_up and len(pending) == 1 else None
        if alone is None or self._suspect is None or _key(alone) != _key(self._suspect):
            self._blamed = 0
        self._suspect = alone
        self._blamed += alone is not None
        self.careful = short and hung_up
        if alone is None or self._blamed < CONVICTED:
            return None
        self._blocked.add(_key(alone))
        self._suspect, self._blamed = None, 0
        return alone

    @property
    def suspect(self) -> str | None:
        """The topic of the message that is to blame, as it looks now."""
        return self._suspect.topic if self._suspect else None


def _key(message: Message) -> tuple[str, int]:
    return message.topic, hash(message.payload)
