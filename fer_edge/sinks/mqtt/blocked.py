"""Messages for which a broker ends the connection without a reason: identified, logged and left out.

An MQTT 3.1.1 broker closes the connection on a message that is too large, and some do so on a forbidden topic. After a
short connection messages go one at a time, so that the one in flight is the one to blame; a message that is in flight
at the end of `CONVICTED` such connections in a row is not sent any more. A broker that ends the connection only long
after it got the message was stuck, or killed: no message is to blame for that.
"""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.sinks.mqtt.limits import Message

CONVICTED = 3

PROMPT_SECONDS = 3.0
"""A broker that rejects a message closes the connection within this time."""


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The messages in flight when a connection ended, the oldest first, and for how long the newest had been."""

    messages: tuple[Message, ...] = ()
    waited_seconds: float = 0.0


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

    def connection_ended(self, left: LeftBehind, *, hung_up: bool, short: bool) -> Message | None:
        """A connection has ended, with these messages on their way. The one that is convicted by that, if any."""
        prompt = hung_up and left.waited_seconds < PROMPT_SECONDS
        alone = left.messages[0] if self.careful and prompt and len(left.messages) == 1 else None
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
