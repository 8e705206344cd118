"""What is killed: an MQTT sink that publishes made-up faces, which come and go, and a whole daemon."""

from __future__ import annotations

import logging
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fer_edge.__main__ import main as fer_edge
from fer_edge.config import Config, HomeAssistant, Mqtt, State
from fer_edge.records import EventType, FaceEvent, Update
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from tests.support.face_events import FRAME, IDENTITY, face_event

STEP_SECONDS = 0.03
CONFIG = """\
device: {{id: {device}}}
camera: {{backend: replay, source: demo, loop: true, fps: 15}}
events: {{heartbeat_seconds: 0.2, dwell_seconds: 0.2}}
mqtt: {{broker: 127.0.0.1, port: {port}}}
homeassistant: {{enabled: false}}
state: {{folder: {folder}}}
log: {{level: error}}
"""


@dataclass(slots=True)
class Crowd:
    """Made-up faces and what happens to them."""

    random: random.Random
    stay_seconds: tuple[float, float]
    heartbeat_seconds: float
    faces: int
    seq: int = 0
    track_id: int = 0
    here: dict[int, list[float]] = field(default_factory=dict)  # id -> came, goes, last told (monotonic seconds)

    def step(self) -> Iterator[FaceEvent]:
        """What happens now."""
        now = time.monotonic()
        for track_id, times in list(self.here.items()):
            if now >= times[1]:
                yield self._event(EventType.END, track_id, now)
                del self.here[track_id]
            elif now - times[2] >= self.heartbeat_seconds:
                times[2] = now
                yield self._event(EventType.UPDATE, track_id, now)
        if len(self.here) < self.faces:
            self.track_id += 1
            self.here[self.track_id] = [now, now + self.random.uniform(*self.stay_seconds), now]
            yield self._event(EventType.START, self.track_id, now)

    def all_leave(self) -> None:
        """The next step ends every face, and no other comes."""
        self.here = {track_id: [times[0], 0.0, times[2]] for track_id, times in self.here.items()}
        self.faces = 0

    def _event(self, kind: EventType, track_id: int, now: float) -> FaceEvent:
        self.seq += 1
        dwell_s = now - self.here[track_id][0]
        return face_event(self.seq, event_type=kind, track_id=track_id, dwell_s=dwell_s, mono_ns=int(now * 1e9))


def started(port: int, folder: Path, *, device: str = IDENTITY.device_id) -> MqttSink:
    """A sink that keeps its state there."""
    config = Config(
        mqtt=Mqtt(broker="127.0.0.1", port=port),
        state=State(folder=str(folder)),
        homeassistant=HomeAssistant(enabled=False),
    )
    sink = MqttSink(config, replace(IDENTITY, device_id=device, boot_id=uuid.uuid4().hex[:12]), Control(config))
    sink.start()
    return sink


def sink_alone(port: int, folder: Path, device: str, seed: int) -> None:
    """A daemon's sink with made-up faces, until it is killed or asked to stop."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    logging.disable()
    sink, crowd = started(port, folder, device=device), Crowd(random.Random(seed), (0.05, 1.5), 0.15, 3)
    while not stopped:
        sink.submit(Update(FRAME, events=tuple(crowd.step())))
        time.sleep(STEP_SECONDS)
    crowd.all_leave()
    sink.submit(Update(FRAME, events=tuple(crowd.step())))
    sink.close(10.0)


def whole_daemon(port: int, folder: Path, device: str, _seed: int) -> None:
    """`fer-edge run` on the demo."""
    config = folder.with_name(f"{device}.yaml")
    config.write_text(CONFIG.format(device=device, port=port, folder=folder))
    sys.exit(fer_edge(["run", "--config", str(config)]))
