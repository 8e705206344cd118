"""What is received over MQTT: other settings, requests, and Home Assistant's birth message."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any

import cv2
import msgspec

from fer_edge.config import Config
from fer_edge.contract.encode import config_payload
from fer_edge.contract.payloads import CONTRACT, RequestPayload, ResponsePayload
from fer_edge.records import Update
from fer_edge.runtime.clock import clock_synced, timestamp
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.rate_limit import RateLimit
from fer_edge.runtime.say_once import one_line
from fer_edge.settings.control import Control
from fer_edge.settings.overrides import MAX_PAYLOAD_BYTES, Answer, Reload, topic_of
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.outgoing import Outgoing

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1024
MAX_NAME = 64  # of an operation
BIRTH_SECONDS = (0.5, 5.0)
"""A thousand daemons must not all republish at the moment in which Home Assistant starts."""

JPEG_QUALITY = 85
LIMITS = {
    "set": (100, 0.05),
    "ping": (20, 0.1),
    "reload": (5, 2.0),
    "restart": (1, 60.0),
    "snapshot": (10, 0.5),
    "refusal": (20, 0.5),
}
"""The burst of requests of a kind, and the seconds after which one more is accepted."""

TOO_MANY = "too many requests wait; ask again later"


class Inbox:
    """Takes messages from any thread; answers go through `Outgoing`, and `wake` is called for them to be sent."""

    def __init__(
        self, config: Config, base: str, outgoing: Outgoing, control: Control, *, wake: Callable[[], None]
    ) -> None:
        self._base, self._outgoing, self._control, self._wake = base, outgoing, control, wake
        self._images = config.privacy.images
        self._birth = f"{config.homeassistant.prefix}/status" if config.homeassistant.enabled else None
        self._born: float | None = None  # monotonic seconds at which everything is to be republished
        self._limits = {name: RateLimit(burst=burst, every_seconds=pause) for name, (burst, pause) in LIMITS.items()}
        self._newest: Update | None = None  # the last one with a picture, where pictures may leave

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return [f"{self._base}/set/#", f"{self._base}/request/#", *([self._birth] if self._birth else [])]

    def see(self, update: Update) -> None:
        """Keep the newest picture for a snapshot, where that is allowed; none while the camera is away."""
        if self._images:
            self._newest = update

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Process a message. A retained one is stale and ignored."""
        if retained:
            log.debug("MQTT: %s: retained, ignored", topic)
        elif topic == self._birth:
            if payload == b"online":
                self._born = time.monotonic() + random.uniform(*BIRTH_SECONDS)  # noqa: S311 - no secret
        elif topic.startswith(f"{self._base}/set/"):
            self._set(topic.removeprefix(f"{self._base}/set/"), payload)
        elif topic.startswith(f"{self._base}/request/"):  # else: what an earlier configuration subscribed to
            self._request(topic.removeprefix(f"{self._base}/request/"), payload)

    def say_again(self) -> None:
        """Republish everything where Home Assistant has just started. To be called regularly."""
        if self._born is not None and time.monotonic() >= self._born:
            self._born = None
            self._outgoing.republish_all()

    def _set(self, name: str, payload: bytes) -> None:
        allowed = self._limits["set"].allows()
        if not (allowed and self._control.set(name, payload[: MAX_PAYLOAD_BYTES + 1], self._answer)):
            log.warning("MQTT: set/%r: %s", name[:100], TOO_MANY)

    def _answer(self, answer: Answer) -> None:
        """Publish the result: retained for a setting, otherwise once."""
        if not answer.accepted:
            log.warning("MQTT: a change was refused: %s", one_line(answer.reason or ""))
        topic, payload = f"{self._base}/config/{topic_of(answer.key)}", msgspec.json.encode(config_payload(answer))
        if answer.value is not None:
            self._outgoing.retain(topic, payload, again=True)
        elif answer.key:
            self._outgoing.messages.put(Message(topic, payload))
        self._wake()

    def _request(self, operation: str, payload: bytes) -> None:
        """Carry out a request, or answer why not."""
        try:
            request = _parsed(payload)
        except ValueError as error:
            if not self._limits["refusal"].allows():
                return None
            return self._respond(operation, None, error=f'expected nothing or {{"transaction": "..."}}: {error}')
        known = {"ping": self._ping, "reload": self._reload, "restart": self._restart, "snapshot": self._snapshot}
        if operation not in known:
            if not self._limits["refusal"].allows():
                return None
            return self._respond(operation, request.transaction, error=f"unknown; known: {', '.join(known)}")
        if not self._limits[operation].allows():
            if self._limits["refusal"].allows():  # else nobody is answered: that would be a flood of our own
                self._respond(operation, request.transaction, error=TOO_MANY)
            return None
        return known[operation](request.transaction)

    def _ping(self, transaction: str | int | None) -> None:
        now = {"ts": timestamp(time.monotonic_ns()), "clock_synced": clock_synced()}
        self._respond("ping", transaction, result=now)

    def _reload(self, transaction: str | int | None) -> None:
        def reply(outcome: Reload | str) -> None:
            if isinstance(outcome, str):
                self._respond("reload", transaction, error=outcome)
            else:
                result = {name: list(getattr(outcome, name)) for name in ("changed", "needs_restart", "warnings")}
                self._respond("reload", transaction, result=result)

        if not self._control.reload(reply):
            self._respond("reload", transaction, error=TOO_MANY)

    def _restart(self, transaction: str | int | None) -> None:
        log.warning("MQTT: a restart was asked for")
        self._respond("restart", transaction)
        self._control.restart_wanted = True

    def _snapshot(self, transaction: str | int | None) -> None:
        update = self._newest
        if not self._images:
            return self._respond("snapshot", transaction, error="privacy.images is false in config.yaml")
        if update is None or update.frame is None:
            return self._respond("snapshot", transaction, error="the camera delivers no picture now")
        from fer_edge.drawing.painter import Painter  # here: few ask for a picture

        picture = Painter(zones=self._control.config.zones).paint(update.frame, update.faces)
        done, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        if not done:
            return self._respond("snapshot", transaction, error="the picture cannot be encoded")
        self._outgoing.put_newest(Message(f"{self._base}/snapshot", jpeg.tobytes(), qos=0))
        return self._respond("snapshot", transaction)

    def _respond(
        self, operation: str, transaction: str | int | None, *, error: str | None = None, result: Any = None
    ) -> None:
        if len(operation) > MAX_NAME or not operation.isascii() or not operation.isidentifier():
            log.warning("MQTT: a request for %r cannot be answered", operation[:100])
            return
        if error:
            log.warning("MQTT: request/%s: %s", operation, error)
        response = ResponsePayload(
            v=CONTRACT,
            operation=operation,
            status="error" if error else "ok",
            error=error,
            transaction=transaction,
            result=result,
        )
        self._outgoing.messages.put(Message(f"{self._base}/response/{operation}", msgspec.json.encode(response)))
        self._wake()


def _parsed(payload: bytes) -> RequestPayload:
    """Raises ValueError."""
    if len(payload) > MAX_REQUEST_BYTES:
        raise ValueError(f"got {counted(len(payload), 'byte')}")
    try:
        return msgspec.json.decode(payload, type=RequestPayload) if payload.strip() else RequestPayload()
    except RecursionError:
        raise ValueError("too deep") from None
