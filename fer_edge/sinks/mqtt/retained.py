"""What the broker is told about the daemon itself, and keeps: info, the settings in force, Home Assistant's entities.

Retained topics outlast the daemon, so their names are written down: what a later run no longer has, it removes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fer_edge.contract.encode import config_payload, info_payload
from fer_edge.records import Identity
from fer_edge.runtime.atomic_file import replace_file
from fer_edge.settings.control import Control
from fer_edge.settings.overrides import Tunable as Setting
from fer_edge.settings.overrides import topic_of
from fer_edge.sinks.mqtt.connection import Message
from fer_edge.sinks.mqtt.delivery import Outgoing
from fer_edge.sinks.mqtt.discovery import Tunable, discovery, removals

log = logging.getLogger(__name__)

STEPS = 1000
"""A number entity has at most about so many steps over its range."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the broker, as far as a later run has to know it."""

    topics: list[str] = []
    discovery: tuple[str, bytes] | None = None


class RetainedTopics:
    """Keeps the retained topics that follow from the configuration current. For one thread at a time."""

    def __init__(self, base: str, identity: Identity, outgoing: Outgoing, control: Control) -> None:
        """`base`: what all topics of this device begin with."""
        self._base, self._identity, self._outgoing, self._control = base, identity, outgoing, control
        self._homeassistant = control.config.homeassistant.enabled  # takes a restart to change
        self._path: Path | None = None
        self._published = Published()

    def remember(self, path: Path) -> None:
        """Keep the list in this file; what an earlier run left there is removed from the broker with `refresh`."""
        self._path = path
        try:
            self._published = msgspec.json.decode(path.read_bytes(), type=Published)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s: cannot read what is retained on the broker, nothing of it is removed: %s", path, error)

    def refresh(self) -> None:
        """Say what is new, remove what is gone."""
        info = info_payload(self._identity, restart_required=self._control.restart_required)
        values = {f"{self._base}/info": msgspec.json.encode(info)}
        for answer in self._control.answers():
            values[f"{self._base}/config/{topic_of(answer.key)}"] = msgspec.json.encode(config_payload(answer))
        for topic, payload in values.items():
            self._outgoing.retain(topic, payload)
        alerts = {f"{self._base}/alert/{name}" for name in self._control.config.alerts}
        for topic in sorted({*self._published.topics, *self._mortal()} - values.keys() - alerts):
            self._outgoing.retain(topic, b"")
        self._note(Published(topics=sorted(values.keys() | alerts), discovery=self._discover()))

    def _mortal(self) -> list[str]:
        """The retained topics whose names depend on the configuration."""
        parts = tuple(f"{self._base}/{kind}/" for kind in ("config", "alert"))
        return [topic for topic in self._outgoing.retained() if topic.startswith(parts)]

    def _discover(self) -> tuple[str, bytes] | None:
        """Tell Home Assistant, or take back what it was told."""
        old, new = self._published.discovery, None
        if self._homeassistant:
            tuning = self._control.tuning
            # an alert that is switched off keeps its entity: config.yaml's switch counts
            config = msgspec.structs.replace(tuning.config, alerts=tuning.base.alerts)
            new = discovery(self._identity, config, tunables=entities(tuning.tunables()))
        if old and new and old[0] == new[0] and (removal := removals(old, new)):
            self._outgoing.messages.put(Message(*removal))  # not retained: what is retained must not name it any more
        if old and (new is None or old[0] != new[0]):
            self._outgoing.retain(old[0], b"")
        if new:
            self._outgoing.retain(*new)
        return new

    def _note(self, published: Published) -> None:
        before, self._published = self._published, published
        if self._path is None or published == before:
            return
        try:
            replace_file(self._path, msgspec.json.encode(published))
        except OSError as error:
            log.warning("%s: cannot note what is retained on the broker: %s", self._path, error.strerror)


def entities(settings: Sequence[Setting]) -> list[Tunable]:
    """The settings that fit a number or a switch; of an alert only whether it is enabled."""
    fitting = [setting for setting in settings if setting.type != "choice"]
    return [_entity(each) for each in fitting if not each.key.startswith("alerts.") or each.type == "bool"]


def _entity(setting: Setting) -> Tunable:
    key, name = topic_of(setting.key), setting.key.replace(".", " ").replace("_", " ").capitalize()
    if setting.type == "bool":
        return Tunable(key=key, kind="switch", name=name)
    low, high = setting.minimum or 0.0, 1.0 if setting.maximum is None else setting.maximum
    step = 1.0 if setting.type == "int" else _step(high - low)
    unit = next((word for end, word in UNITS.items() if setting.key.endswith(end)), None)
    low += step if setting.above_minimum else 0
    return Tunable(key=key, kind="number", name=name, minimum=low, maximum=high, step=step, unit=unit)


UNITS = {"_seconds": "s", "_px": "px", "_deg": "°"}


def _step(span: float) -> float:
    """The power of ten that cuts a range into about STEPS, but fine enough to set a tenth of a second."""
    step = 0.001
    while step < 0.1 and span / step > STEPS:
        step *= 10
    return step
