"""The daemon: for each camera one thread that reads it, one main thread that steps, one thread for each sink.

camera threads --Mailbox--> main thread: Station.turn, Pipeline.step --Update--> one thread per sink
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition, Event

from fer_edge.board.governor import Governor
from fer_edge.board.health import HealthWatch
from fer_edge.camera import is_live_source, open_camera, shown
from fer_edge.camera.capture import CaptureThread
from fer_edge.config import CamerasConfig, Config
from fer_edge.daemon.station import Station, do_all, submit_to_all
from fer_edge.errors import ConfigError
from fer_edge.instance import device_id, identity, lock, state_folder
from fer_edge.pipeline import Pipeline
from fer_edge.records import Hub, Identity
from fer_edge.runtime.atomic_file import remove_strays
from fer_edge.runtime.fair_share import FairShare
from fer_edge.runtime.mailbox import wait_for_any
from fer_edge.runtime.meter import Meter
from fer_edge.runtime.part_name import speaking_of
from fer_edge.runtime.systemd import Notifier
from fer_edge.settings.cameras import each_camera
from fer_edge.settings.control import Control
from fer_edge.sinks import Sink, open_sinks
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, delete_pictures
from fer_edge.vision.tflite import Model

__all__ = ["Signals", "drop_pictures", "run", "submit_to_all"]

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # how soon a stop or a lost camera is noticed
CLOSE_SECONDS = 3.0  # for a sink to deliver what waits


@dataclass(slots=True)
class Signals:
    """Requests of the outside to a running daemon."""

    stop: Event = field(default_factory=Event)
    reload: bool = False  # read config.yaml again; no Event: a second signal may interrupt the first one's handler


OpenSinks = Callable[[Config, Identity, Control], list[Sink]]


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens cameras with all that is theirs; the stack closes it."""

    signals: Signals
    names: tuple[str, ...]  # of all cameras
    path: Path | None  # where the configuration comes from
    stack: ExitStack
    changed: Condition  # of every camera's mailbox: one thread waits for all
    health: HealthWatch

    @property
    def close_seconds(self) -> float:
        """How long each sink may take at the end: with many cameras less, so that systemd does not kill the daemon."""
        return max(1.0, min(CLOSE_SECONDS, 2 * CLOSE_SECONDS / len(self.names)))

    def stations(self, config: Config) -> list[Station]:
        """Every camera of a configuration. Raises FerEdgeError."""
        if not isinstance(config, CamerasConfig):
            return [self.station("", config)]
        from fer_edge.sinks.shared import SharedSinks

        shared, found = SharedSinks(config, device_id(config)), list[Station]()
        self.stack.callback(shared.close, CLOSE_SECONDS)
        shared.start()
        cameras = each_camera(config, device_id(config))
        hub = Hub(device_id(config), config.homeassistant.name, tuple(map(device_id, cameras.values())))
        for own in cameras.values():  # all before the first opens: to it, one that does not run was renamed
            self.stack.enter_context(lock(own))
        for name, own in cameras.items():
            with speaking_of(name):
                models = found[0].pipeline.models if found else ()
                found.append(self.station(name, own, models=models, sinks=partial(shared.open, name), hub=hub))
        shared.serve()
        return found

    def station(
        self,
        name: str,
        config: Config,
        *,
        models: tuple[Model, ...] = (),
        sinks: OpenSinks | None = None,
        hub: Hub | None = None,
    ) -> Station:
        """One camera. `models`: of another camera, which this one shares; `sinks`: what opens them, if not
        `open_sinks`; `hub`: the daemon, where it has several."""
        folder = state_folder(config, device_id(config))
        remove_strays(folder)
        drop_pictures(config, self.path)
        part = partial(own_part, name=name, names=self.names)
        control = Control(config, path=self.path, folder=folder, part=part)
        logging.getLogger().setLevel(control.config.log.level.upper())
        pipeline = Pipeline(control.config, models)
        opener, live = partial(open_camera, config.camera), is_live_source(config.camera)
        feed = CaptureThread(opener, live=live, changed=self.changed)
        feed.paused = control.config.camera.paused
        self.stack.callback(feed.close)
        feed.start(self.signals.stop, wait=not (name and feed.live))  # of several, none waits for another one
        who = identity(config, pipeline.cards, hub)
        source = f"{config.camera.backend} {shown(config.camera.source)}".rstrip()
        log.info("fer-edge %s as %s, camera %s", who.version, who.device_id, source)
        found = (sinks or open_sinks)(config, who, control)
        self.stack.callback(_close, found, self.close_seconds)
        control.start()
        self.stack.callback(control.close)
        governor = Governor(pipeline.config, lambda: self.health.latest, live=feed.live)
        meter = Meter(pipeline.config.stats.interval_seconds)
        return Station(
            name=name, pipeline=pipeline, feed=feed, control=control, sinks=found, governor=governor, meter=meter
        )


def run(config: Config, signals: Signals, *, path: Path | None = None) -> bool:
    """The daemon: runs until `signals.stop` is set or the last source ends. `path`: where config comes from.

    Returns:
        Whether it is to be restarted.

    Raises:
        FerEdgeError: something that config names is not there, another instance runs, or a part failed.

    """
    notifier, changed, health = Notifier(), Condition(), HealthWatch()
    with ExitStack() as stack:
        stack.enter_context(lock(config))
        names = tuple(each_camera(config, device_id(config)))
        stations = Opener(signals, names, path, stack, changed, health).stations(config)
        health.start()
        stack.callback(health.close)
        try:
            _watch(stations, changed, notifier, signals)
        finally:
            notifier.stopping()
            do_all([station.end for station in stations])
        return _restart_wanted(stations) and not signals.stop.is_set()


def own_part(config: Config, *, name: str, names: tuple[str, ...]) -> Config:
    """What of a newly read configuration is for the camera `name`; `names`: all that run.

    Raises:
        ConfigError: it has other cameras now.

    """
    cameras = each_camera(config, device_id(config))
    if set(cameras) != set(names):
        found, running = (", ".join(filter(None, each)) or "one camera" for each in (cameras, names))
        raise ConfigError(
            f"section cameras: expected the cameras that run ({running}), got {found}; restart the daemon"
        )
    return cameras[name]


def _watch(stations: list[Station], changed: Condition, notifier: Notifier, signals: Signals) -> None:
    """Give each camera its turn as its frames come, until all have ended."""
    share = FairShare()
    while not (signals.stop.is_set() or _restart_wanted(stations)):
        _obey(stations, signals)
        running = [station for station in stations if not station.over]
        if not running:
            _raise_failure(stations)
            return
        wait_for_any([station.feed.mailbox for station in running], changed, POLL_SECONDS)
        ready = [station.name for station in running if station.feed.mailbox.ready]
        chosen = share.pick(ready) if ready else None
        for station in running:
            if station.name == chosen or (station.name not in ready and station.idle_for(POLL_SECONDS)):
                begun = time.monotonic()
                _turn(station, stations, notifier)
                share.charge(station.name, time.monotonic() - begun)


def _turn(station: Station, stations: list[Station], notifier: Notifier) -> None:
    """One camera's turn, with a report to systemd."""
    before = station.away
    with speaking_of(station.name):
        well = station.turn()
    if station.away != before and not station.over:
        notifier.status(_status(stations))
    if well:
        notifier.alive(_status(stations))


def _status(stations: list[Station]) -> str:
    """A line for `systemctl status`."""
    away = [f"No picture from {station.name or 'the camera'}: {station.away}" for station in stations if station.away]
    return "; ".join(away) or "Watching"


def _obey(stations: list[Station], signals: Signals) -> None:
    """Take over what was changed since the last turn."""
    if signals.reload:
        signals.reload = False  # before they are asked: a signal that comes meanwhile counts
        taken = [station.control.reload(lambda _: None) for station in stations]
        signals.reload |= not all(taken)  # where too many requests wait: with the next turn
    for station in stations:
        with speaking_of(station.name):
            station.obey()


def _restart_wanted(stations: list[Station]) -> bool:
    return any(station.control.restart_wanted for station in stations)


def _raise_failure(stations: list[Station]) -> None:
    """Raise the error of the first source that failed, if one did."""
    for station in stations:
        if station.failure:
            raise station.failure


def drop_pictures(config: Config, path: Path | None = None) -> None:
    """Delete the pictures of earlier runs where none are kept any more: nothing else would. `path`: the configuration
    file, whose devices under earlier names are meant as well."""
    own = state_folder(config, device_id(config))
    if not config.pictures.enabled:
        _drop(own / PICTURES_FOLDER, "pictures.enabled is false")
    if any(folder.parent != own for folder in own.parent.glob(f"*/{PICTURES_FOLDER}")):
        from fer_edge.sinks.mqtt.retained import PUBLISHED_FILE, left_by  # here, for most have no need of it

        for other in left_by(own / PUBLISHED_FILE, path):
            _drop(other.parent / PICTURES_FOLDER, f"its device is now {own.name}")


def _drop(folder: Path, why: str) -> None:
    try:
        if count := delete_pictures(folder):
            log.info("%s: pictures of earlier runs that were deleted (%s): %d", folder, why, count)
    except OSError as error:
        log.warning("%s: pictures of earlier runs cannot be deleted: %s", folder, error.strerror)


def _close(sinks: list[Sink], seconds: float) -> None:
    for sink in sinks:
        sink.close(seconds)
