"""Several cameras in one daemon: what one of them does or costs is not the others' trouble."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Condition, Thread

import msgspec
import pytest

import fer_edge.daemon as daemon_module
import fer_edge.pipeline as pipeline_module
from fer_edge.board.health import HealthWatch
from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import CamerasConfig, Config, Device, Jsonl, Models, Mqtt, NamedCamera, Stats
from fer_edge.daemon import Opener, Signals, own_part, run
from fer_edge.daemon.station import Station
from fer_edge.errors import CameraError, ConfigError
from fer_edge.instance import is_running
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame, Update
from fer_edge.testing.brokers import wait_for
from fer_edge.vision.tflite import Model
from tests.support.replaying import Plugged, Unplugged

ID = f"cameras-{os.getpid()}"
ASTRONAUT = NamedCamera(backend="replay", source="demo:astronaut", pace="max")


def two(tmp_path: Path, front: NamedCamera = ASTRONAUT, back: NamedCamera = ASTRONAUT) -> CamerasConfig:
    """A daemon without a broker that writes its events to files."""
    return CamerasConfig(
        device=Device(id=ID),
        cameras={"front": front, "back": back},
        mqtt=Mqtt(enabled=False),
        jsonl=Jsonl(enabled=True, path=str(tmp_path / "events.jsonl")),
    )


def written(tmp_path: Path, name: str) -> list[tuple[int, str]]:
    """Faces and what happened to them, as a camera's file tells it."""
    path = tmp_path / f"events-{name}.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [(event["track_id"], event["event_type"]) for event in map(msgspec.json.decode, lines)]


def test_each_camera_tells_its_own_story(tmp_path: Path) -> None:
    run(two(tmp_path), Signals())
    alone = Config(
        device=Device(id=f"{ID}-alone"),
        camera=CameraConfig(backend="replay", source="demo:astronaut", pace="max"),
        mqtt=Mqtt(enabled=False),
        jsonl=Jsonl(enabled=True, path=str(tmp_path / "events-alone.jsonl")),
    )
    run(alone, Signals())
    assert written(tmp_path, "front") == written(tmp_path, "back") == written(tmp_path, "alone")
    assert written(tmp_path, "front")[-1][1] == "end"
    devices = [
        {
            msgspec.json.decode(line)["device_id"]
            for line in (tmp_path / f"events-{name}.jsonl").read_bytes().splitlines()
        }
        for name in ("front", "back")
    ]
    assert devices == [{f"{ID}-front"}, {f"{ID}-back"}]


def test_models_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Models] = []

    def load(models: Models) -> tuple[Model, ...]:
        loads.append(models)
        return real(models)

    real = pipeline_module.load_models
    monkeypatch.setattr(pipeline_module, "load_models", load)
    run(two(tmp_path), Signals())
    assert len(loads) == 1


def opening(kinds: dict[float, type[ReplayCamera]]) -> Callable[[CameraConfig], ReplayCamera]:
    """Opens a camera of a kind by its timeout, which no replay looks at."""

    def open_camera(config: CameraConfig) -> ReplayCamera:
        camera = kinds[config.timeout_seconds](config)
        camera.open()
        return camera

    return open_camera


@contextmanager
def running(config: Config, signals: Signals) -> Iterator[None]:
    """The daemon, which ends with the block."""
    thread = Thread(target=run, args=(config, signals))
    thread.start()
    try:
        yield
    finally:
        signals.stop.set()
        thread.join(30)


def live(timeout_seconds: float) -> NamedCamera:
    return msgspec.structs.replace(ASTRONAUT, pace="real", loop=True, timeout_seconds=timeout_seconds)


def test_a_camera_that_dies_ends_its_faces_and_comes_back_while_the_other_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pauses: None, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daemon_module, "open_camera", opening({11: Unplugged, 12: Plugged}))
    with running(two(tmp_path, live(11), live(12)), Signals()):
        wait_for(lambda: written(tmp_path, "front")[:3] == [(1, "start"), (1, "end"), (2, "start")], "it is back")
        wait_for(lambda: (1, "start") in written(tmp_path, "back"), "the other one goes on")
        assert is_running(f"{ID}-front")
        assert is_running(f"{ID}-back")
    for name in ("front", "back"):
        starts = [face for face, what in written(tmp_path, name) if what == "start"]
        ends = [face for face, what in written(tmp_path, name) if what == "end"]
        assert starts == ends
    assert written(tmp_path, "back")[0] == (1, "start")


def test_a_camera_that_hangs_at_its_opening_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals()

    class Hanging(Plugged):
        def open(self) -> None:
            signals.stop.wait(30)
            super().open()

    monkeypatch.setattr(daemon_module, "open_camera", opening({0.2: Hanging, 12: Plugged}))
    monkeypatch.setattr(daemon_module, "is_live_source", lambda _: True)
    config = two(tmp_path, live(0.2), live(12))
    with running(config, signals):
        wait_for(lambda: (1, "start") in written(tmp_path, "back"), "the other one's face")
    assert written(tmp_path, "front") == []


def test_a_film_that_breaks_ends_alone_and_is_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ReplayCamera):
        def read(self) -> Frame | None:
            if self.frames and self._count > 30:
                raise CameraError("the film breaks off")
            return super().read()

    monkeypatch.setattr(daemon_module, "open_camera", opening({11: Broken, 12: ReplayCamera}))
    front, back = (msgspec.structs.replace(ASTRONAUT, timeout_seconds=seconds) for seconds in (11, 12))
    with pytest.raises(CameraError, match="the film breaks off"):
        run(two(tmp_path, front, back), Signals())
    assert written(tmp_path, "front") == [(1, "start"), (1, "end")]
    assert len(written(tmp_path, "back")) > 2
    assert "the film breaks off; the other cameras go on" in caplog.text


def test_a_source_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    lost = msgspec.structs.replace(ASTRONAUT, source=str(tmp_path / "nowhere.jpg"))
    with pytest.raises(CameraError, match=r"nowhere\.jpg"):
        run(two(tmp_path, back=lost), Signals())
    assert not is_running(f"{ID}-front")


def test_a_camera_that_costs_much_does_not_starve_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals, steps = Signals(), {"front": 0, "back": 0}

    class Costly(Pipeline):
        def step(self, frame: Frame) -> Update:
            name = str(self.config.device.id).rpartition("-")[2]
            if name == "front":
                time.sleep(0.1)
            steps[name] += 1
            if steps["front"] == 10:
                signals.stop.set()
            return super().step(frame)

    monkeypatch.setattr(daemon_module, "Pipeline", Costly)
    endless = msgspec.structs.replace(ASTRONAUT, loop=True)
    run(two(tmp_path, endless, endless), signals)
    assert steps["back"] > steps["front"] / 2


def test_a_reload_takes_each_cameras_own_part() -> None:
    config = two(Path())
    names = ("front", "back")
    assert own_part(config, name="back", names=names).device.id == f"{ID}-back"
    with pytest.raises(ConfigError, match=r"expected the cameras that run \(front, side\), got front, back; restart"):
        own_part(config, name="front", names=("front", "side"))
    with pytest.raises(ConfigError, match=r"expected the cameras that run \(one camera\), got front, back; restart"):
        own_part(config, name="", names=("",))


@pytest.mark.parametrize(("count", "seconds"), [(1, 3.0), (2, 3.0), (4, 1.5), (9, 1.0)])
def test_many_cameras_have_less_time_each_to_end(count: int, seconds: float) -> None:
    names = tuple(f"camera{number}" for number in range(count))
    with ExitStack() as stack:
        assert Opener(Signals(), names, None, stack, Condition(), HealthWatch()).close_seconds == seconds


def test_one_camera_is_one_station_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[Station]] = []

    def stations(self: Opener, config: Config) -> list[Station]:
        made.append(real(self, config))
        return made[-1]

    real = Opener.stations
    monkeypatch.setattr(Opener, "stations", stations)
    camera = CameraConfig(backend="replay", source="demo:astronaut", pace="max")
    run(Config(device=Device(id=ID), camera=camera, mqtt=Mqtt(enabled=False), stats=Stats()), Signals())
    assert [[station.name for station in each] for each in made] == [[""]]


def test_log_lines_name_the_camera(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from fer_edge.runtime.part_name import NamePart

    caplog.handler.addFilter(naming := NamePart())
    caplog.set_level(logging.INFO)
    try:
        run(two(tmp_path), Signals())
    finally:
        caplog.handler.removeFilter(naming)
    assert "front: fer-edge" in caplog.text
    assert "back: the source has ended" in caplog.text
