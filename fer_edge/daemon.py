"""The daemon: one camera thread, one main thread that steps, one thread for each sink.

camera thread --Mailbox--> main thread: Pipeline.step --Update--> one thread per sink
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

from fer_edge.board.governor import Governor
from fer_edge.board.health import HealthWatch
from fer_edge.camera import LeftOut, is_live_source, open_camera, shown
from fer_edge.camera.capture import PAUSED, CaptureThread
from fer_edge.config import Config
from fer_edge.instance import device_id, identity, lock, state_folder
from fer_edge.pipeline import Pipeline
from fer_edge.records import Stats, Update
from fer_edge.runtime.atomic_file import remove_strays
from fer_edge.runtime.mailbox import Closed
from fer_edge.runtime.meter import Meter
from fer_edge.runtime.systemd import Notifier
from fer_edge.settings.control import Control
from fer_edge.sinks import Sink, open_sinks
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, delete_pictures

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # how soon a stop or a lost camera is noticed
CLOSE_SECONDS = 3.0  # for a sink to deliver what waits


@dataclass(slots=True)
class Signals:
    """Requests of the outside to a running daemon."""

    stop: Event = field(default_factory=Event)
    reload: bool = False  # read config.yaml again; no Event: a second signal may interrupt the first one's handler


@dataclass(frozen=True, slots=True)
class Gauges:
    """What accompanies every frame: the rate, timings, and the watchdog."""

    governor: Governor
    meter: Meter
    notifier: Notifier

    def stats(self, left_out: LeftOut) -> Stats | None:
        """The figures of the interval that has just ended, or None while it lasts."""
        return self.governor.annotate(self.meter.due(dropped_frames=left_out.late, damaged_frames=left_out.damaged))


def run(config: Config, signals: Signals, *, path: Path | None = None) -> bool:
    """The daemon: runs until `signals.stop` is set or the source ends. `path`: where config comes from.

    Returns:
        Whether it is to be restarted.

    Raises:
        FerEdgeError: something that config names is not there, another instance runs, or a part failed.

    """
    notifier = Notifier()
    with ExitStack() as stack:
        stack.enter_context(lock(config))
        remove_strays(state_folder(config, device_id(config)))
        drop_pictures(config)
        control = Control(config, path=path, folder=state_folder(config, device_id(config)))
        logging.getLogger().setLevel(control.config.log.level.upper())
        pipeline = Pipeline(control.config)
        feed = CaptureThread(partial(open_camera, config.camera), live=is_live_source(config.camera))
        feed.paused = control.config.camera.paused
        stack.callback(feed.close)
        feed.start(signals.stop)
        who = identity(config, pipeline.cards)
        source = f"{config.camera.backend} {shown(config.camera.source)}".rstrip()
        log.info("fer-edge %s as %s, camera %s", who.version, who.device_id, source)
        sinks = open_sinks(config, who, control)
        stack.callback(_close, sinks)
        control.start()
        stack.callback(control.close)
        health = HealthWatch()
        health.start()
        stack.callback(health.close)
        governor = Governor(pipeline.config, lambda: health.latest, live=feed.live)
        gauges = Gauges(governor, Meter(pipeline.config.stats.interval_seconds), notifier)
        try:
            _watch(pipeline, feed, sinks, gauges, control, signals)
        finally:
            notifier.stopping()
            submit_to_all(sinks, pipeline.end_all(feed.now_ns()))
        return control.restart_wanted and not signals.stop.is_set()


def _watch(
    pipeline: Pipeline, feed: CaptureThread, sinks: list[Sink], gauges: Gauges, control: Control, signals: Signals
) -> None:
    """Step through frames as they come; a camera that is away ends all faces, once."""
    config, away, newest = pipeline.config, "", time.monotonic()  # away: why there is no picture
    while not (signals.stop.is_set() or control.restart_wanted):
        _obey(pipeline, gauges, control, signals)
        feed.paused = control.config.camera.paused
        feed.colour = pipeline.colour or any(sink.pictures for sink in sinks)
        try:
            frame = feed.mailbox.get(POLL_SECONDS)
        except Closed:
            feed.raise_error()
            log.info("the source has ended")
            return
        if frame is None or feed.paused:
            reason = _why_no_picture(feed, silent=time.monotonic() - newest > config.camera.timeout_seconds)
            new, away = bool(reason and reason != away), reason or away
            if away:
                control.report("camera", away, retry_at=feed.retry_at)
            if new:
                gauges.notifier.status(f"No picture from the camera: {reason}")
                submit_to_all(sinks, pipeline.end_all(feed.now_ns()))
            elif away and (stats := gauges.stats(feed.left_out)):
                submit_to_all(sinks, Update(None, stats=stats))
            if feed.waiting:
                gauges.notifier.alive(f"No picture from the camera: {away}")
            continue
        if not gauges.governor.takes(frame):
            newest = time.monotonic()
            continue
        update = pipeline.step(frame)
        gauges.governor.saw(len(update.tracks), frame)
        gauges.meter.add(update.timings_ms, latency_ms=max(0, feed.now_ns() - frame.taken_ns) / 1e6)
        stats = gauges.stats(feed.left_out)
        submit_to_all(sinks, replace(update, stats=stats) if stats else update)
        gauges.notifier.alive()
        if away:
            gauges.notifier.status("Watching")
            control.report("camera", "", good=True)
        away, newest = "", time.monotonic()


def drop_pictures(config: Config) -> None:
    """Delete the pictures of earlier runs where none are kept any more: nothing else would."""
    if config.pictures.enabled:
        return
    folder = state_folder(config, device_id(config)) / PICTURES_FOLDER
    try:
        if count := delete_pictures(folder):
            log.info("%s: pictures of earlier runs that were deleted (pictures.enabled is false): %d", folder, count)
    except OSError as error:
        log.warning("%s: pictures of earlier runs cannot be deleted: %s", folder, error.strerror)


def _why_no_picture(feed: CaptureThread, *, silent: bool) -> str:
    """In words; empty where the next frame may come any moment."""
    if feed.away or feed.paused:
        return feed.reason or PAUSED
    return "it delivers no frames" if silent else ""


def _obey(pipeline: Pipeline, gauges: Gauges, control: Control, signals: Signals) -> None:
    """Apply what was changed since the last step."""
    control.check()
    if signals.reload:
        signals.reload = not control.reload(lambda _: None)  # where too many requests wait: with the next step
    config = control.config
    if config is not pipeline.config:
        pipeline.configure(config)
        gauges.meter.interval_seconds = config.stats.interval_seconds
        gauges.governor.configure(config)
        logging.getLogger().setLevel(config.log.level.upper())


def submit_to_all(sinks: list[Sink], update: Update) -> None:
    """Hand an update to every sink. A failed one raises, but only after the others have it."""
    failures = []
    for sink in sinks:
        try:
            sink.submit(update)
        except Exception as error:  # whatever stopped its thread; raised below
            failures.append(error)
    if failures:
        raise failures[0]


def _close(sinks: list[Sink]) -> None:
    for sink in sinks:
        sink.close(CLOSE_SECONDS)
