"""The retained topics about the daemon itself: info, the settings in force, Home Assistant's entities.

Retained topics outlive the daemon, so their names are stored: a later run removes those that it no longer has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence, Set
from pathlib import Path
from threading import Lock

import msgspec

from fer_edge.contract.encode import alert_payload, config_payload, info_payload, zone_payload
from fer_edge.instance import is_running
from fer_edge.records import AlertState, Identity, ZoneState
from fer_edge.runtime.atomic_file import replace_file
from fer_edge.runtime.sealed_file import seal, unseal
from fer_edge.settings.control import Control
from fer_edge.settings.overrides import topic_of
from fer_edge.sinks.mqtt.discovery import discovery, discovery_topic, hub_discovery, removals, split
from fer_edge.sinks.mqtt.limits import HEADER_BYTES, Message
from fer_edge.sinks.mqtt.outgoing import Outgoing

log = logging.getLogger(__name__)


PUBLISHED_FILE = "published.json"
"""In the state folder of each device."""

FIXED = ("availability", "camera/availability", "camera/status", "state", "info")
"""The retained topics that every device has."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker holds, as far as a later run has to know it."""

    topics: list[str] = []
    discovery: tuple[str, bytes] | None = None  # the message that describes the device
    split: bool = False  # that was too large for the broker: there is a message for each entity instead
    source: str | None = None  # the configuration file


class RetainedTopics:
    """Keeps the retained topics that follow from the configuration current. For any thread."""

    def __init__(self, base: str, identity: Identity, outgoing: Outgoing, control: Control) -> None:
        """`base`: what all topics of this device begin with."""
        self._base, self._identity, self._outgoing, self._control = base, identity, outgoing, control
        self._homeassistant = control.config.homeassistant.enabled  # takes a restart to change
        self._fixed = {f"{base}/{name}" for name in FIXED}
        self._path: Path | None = None
        self._published = Published()
        self._left: set[str] = set()  # what earlier runs left, until the first `refresh`
        self._split = False
        self._lock = Lock()

    def remember(self, path: Path) -> None:
        """Keep the list in this file; what an earlier run left there is removed from the broker with `refresh`. So is
        what this configuration left under another device id."""
        self._path = path
        self._published = _read(path)
        self._split = self._published.split
        self._left = every_topic(self._published)
        hub = self._identity.hub
        for other in left_by(path, self._control.path, beside=hub.cameras if hub else ()):
            old, new = other.parent.name, path.parent.name
            log.info("device %s was renamed to %s: its retained messages are removed", old, new)
            self._left |= every_topic(_read(other))
            self._note(msgspec.structs.replace(self._published, topics=sorted(self._left)))
            try:
                other.unlink(missing_ok=True)
            except OSError as error:  # then the next start removes them again, which does no harm
                log.warning("%s: cannot delete the list of the earlier device: %s", other, error.strerror)

    def fit(self, limit: int | None, refused: str | None) -> None:
        """The broker takes messages of at most `limit` bytes (None: it does not say), or none like the last one on a
        topic."""
        device = discovery_topic(self._identity, self._control.config)
        if refused and refused.startswith(f"{self._control.config.homeassistant.prefix}/"):
            self._homeassistant &= refused == device or refused in self._hub_topics()
            self._split = True
            found = {topic for topic in self._outgoing.retained() if topic.endswith("/config")}
            self._outgoing.forget(found - self._outgoing.taken())
        elif limit is not None:
            self._split = len(self._described()[1]) + len(device) + HEADER_BYTES > limit
        self.refresh()

    def refresh(self) -> None:
        """Publish what is new, remove what is gone."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        discovery = self._discover()
        info = info_payload(self._identity, restart_required=self._control.restart_required)
        values = {f"{self._base}/info": msgspec.json.encode(info)}
        for answer in self._control.answers():
            values[f"{self._base}/config/{topic_of(answer.key)}"] = msgspec.json.encode(config_payload(answer))
        named = self._named()
        others = set() if self._is_first else self._hub_topics()  # the first camera sees to them
        entities = self._remove(self._fixed | values.keys() | named.keys() | discovery.keys() | others)
        for topic, payload in (discovery | values).items():
            self._outgoing.retain(topic, payload)
        for topic in named.keys() - self._outgoing.retained():  # what an earlier run left on the broker holds no more
            self._outgoing.retain(topic, named[topic])
        self._outgoing.remove(entities)
        device = discovery_topic(self._identity, self._control.config)
        described = (device, discovery[device]) if device in discovery else None
        source = str(self._control.path) if self._control.path else None
        topics = sorted(self._outgoing.known() - {device} | named.keys())
        self._note(Published(topics=topics, discovery=described, split=self._split, source=source))

    def _named(self) -> dict[str, bytes]:
        """The topics of alerts and zones with what they begin with: nothing is on, and nobody is there."""
        alerts, zones, now_ns = self._control.config.alerts, self._control.config.zones, time.monotonic_ns()
        off = {f"alert/{name}": alert_payload(AlertState(name, False, now_ns, (), 0)) for name in alerts}
        empty = {f"zone/{name}": zone_payload(ZoneState(name, (), now_ns)) for name in zones}
        return {f"{self._base}/{name}": msgspec.json.encode(payload) for name, payload in (off | empty).items()}

    def _remove(self, wanted: Set[str]) -> set[str]:
        """Note which retained topics are obsolete, before the description without their entities is queued: the broker
        may take that at once. Returns the entities among them, which go first, behind what takes their place."""
        gone = (self._left | set(self._outgoing.retained())) - wanted
        self._left = set()
        entities = {topic for topic in gone if topic.endswith("/config")}
        seen_by = discovery_topic(self._identity, self._control.config)
        self._outgoing.remove(gone - entities, after=seen_by if seen_by in wanted else None)
        return entities

    def _described(self) -> tuple[str, bytes]:
        """The message that describes the device."""
        tuning = self._control.tuning
        # an alert that is switched off keeps its entity: config.yaml's switch counts
        config = msgspec.structs.replace(tuning.config, alerts=tuning.base.alerts)
        return discovery(self._identity, config, tunables=tuning.tunables())

    @property
    def _is_first(self) -> bool:
        """Whether the daemon's own device, if there is one, is described by this camera."""
        return self._identity.hub is None or self._identity.hub.first == self._identity.device_id

    def _of_hub(self) -> list[tuple[str, bytes]]:
        """The message that describes the daemon's own device, where it has several cameras."""
        hub = self._identity.hub
        return [hub_discovery(hub, self._identity, self._control.config)] if hub else []

    def _hub_topics(self) -> set[str]:
        """Every topic that may describe the daemon's own device."""
        prefix = self._control.config.homeassistant.prefix
        return {topic for whole in self._of_hub() for topic in (whole[0], *dict(split(whole, prefix)))}

    def _discover(self) -> dict[str, bytes]:
        """Home Assistant's discovery messages, by topic."""
        if not self._homeassistant:
            return {}
        old, new = self._published.discovery, self._described()
        messages = [*(self._of_hub() if self._is_first else ()), new]  # a device comes after the one above it
        if self._split:
            prefix = self._control.config.homeassistant.prefix
            return dict(part for message in messages for part in split(message, prefix))
        if old and old[0] == new[0] and (removal := removals(old, new)):
            self._outgoing.messages.put(Message(*removal))  # not retained: what is retained must not name it any more
        return dict(messages)

    def _note(self, published: Published) -> None:
        before, self._published = self._published, published
        if self._path is None or published == before:
            return
        try:
            replace_file(self._path, seal(msgspec.json.encode(published)))
        except OSError as error:
            log.warning("%s: cannot save the list of retained topics: %s", self._path, error.strerror)


def _read(path: Path) -> Published:
    """What an earlier run noted, as far as it can be read."""
    try:
        return msgspec.json.decode(unseal(path.read_bytes()), type=Published)
    except FileNotFoundError:
        return Published()
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: cannot read the list of retained topics, stale ones are not removed: %s", path, error)
        return Published()


def every_topic(published: Published) -> set[str]:
    """All topics that such a run left, also those that every device has and that earlier versions did not list."""
    topics = set(published.topics) | ({published.discovery[0]} if published.discovery else set())
    bases = [topic.removesuffix("/info") for topic in topics if topic.endswith("/info")]
    return topics | {f"{base}/{name}" for base in bases for name in FIXED}


def left_by(path: Path, source: Path | None, *, beside: Sequence[str] = ()) -> list[Path]:
    """The lists of devices that were run from the same configuration file under other ids, and do not run now; those of
    the cameras `beside` this one may be about to."""
    if source is None:
        return []
    others = [each for each in path.parent.parent.glob(f"*/{path.name}") if each.parent.name not in beside]
    others = [each for each in others if each != path and _read(each).source == str(source)]
    return [each for each in others if not is_running(each.parent.name)]
