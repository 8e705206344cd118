"""The daemon's run: threads, stops, a camera that is lost, events as lines."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Thread

import msgspec
import pytest

import fer_edge.daemon as daemon_module
from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import Config, Device, Jsonl, Mqtt, Stats
from fer_edge.daemon import Signals, run
from fer_edge.errors import AlreadyRunning, CameraError
from fer_edge.instance import device_id, lock, state_folder
from fer_edge.records import Frame, Image, Update
from fer_edge.settings.control import Control
from fer_edge.testing.brokers import SECONDS, wait_for
from tests.support.replaying import Unplugged

DEMO = CameraConfig(backend="replay", source="demo", pace="max")


def quiet(tmp_path: Path, **camera: object) -> Config:
    """A daemon without a broker that writes its events to a file."""
    return Config(
        device=Device(id=f"test-{os.getpid()}"),
        camera=msgspec.structs.replace(DEMO, **camera),
        mqtt=Mqtt(enabled=False),
        jsonl=Jsonl(enabled=True, path=str(tmp_path / "events.jsonl")),
    )


def events_of(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in (path / "events.jsonl").read_bytes().splitlines()]


class TestRun:
    def test_to_the_end_of_a_recording(self, tmp_path: Path) -> None:
        config = quiet(tmp_path)
        stray = state_folder(config, device_id(config)) / ".0123456789abcdef.partial"  # of a power cut
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_text("half")
        run(config, Signals())
        assert not stray.exists()
        events = events_of(tmp_path)
        kinds = [event["event_type"] for event in events]
        assert kinds.count("start") == kinds.count("end") == 3
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert len({event["boot_id"] for event in events}) == 1

    @pytest.mark.parametrize("written", [0, 1, 4])
    def test_a_stop_at_any_moment_ends_every_face(self, tmp_path: Path, written: int) -> None:
        """Before the first face, while there is one, and later."""
        signals, lines = Signals(), tmp_path / "events.jsonl"
        thread = Thread(target=run, args=(quiet(tmp_path, loop=True), signals))
        thread.start()
        wait_for(lambda: not written or (lines.exists() and lines.read_bytes().count(b"\n") >= written), "events")
        signals.stop.set()
        thread.join(SECONDS)
        assert not thread.is_alive()
        kinds = [event["event_type"] for event in events_of(tmp_path)]
        assert kinds.count("start") == kinds.count("end")
        assert len(kinds) >= written

    def test_a_second_instance_is_refused_and_the_first_goes_on(self, tmp_path: Path) -> None:
        with lock(quiet(tmp_path)), pytest.raises(AlreadyRunning, match=r"is already running \(process \d+\); stop it"):
            run(quiet(tmp_path), Signals())
        run(quiet(tmp_path), Signals())  # let go

    def test_no_camera_is_one_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(CameraError, match="does not exist"):
            run(quiet(tmp_path, source=str(tmp_path / "nowhere.jpg")), Signals())

    def test_a_damaged_source_raises_in_main(self, tmp_path: Path) -> None:
        (tmp_path / "bad.jpg").write_bytes(b"no picture")
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "bad.jpg").write_bytes(b"no picture")
        for source in (tmp_path / "bad.jpg", folder):
            with pytest.raises(CameraError, match="decoded"):
                run(quiet(tmp_path, source=str(source)), Signals())

    def test_camera_loss_ends_faces_once_and_they_start_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pauses: None, astronaut: Image
    ) -> None:
        class Short(Unplugged):
            def read(self) -> Frame | None:
                frame = super().read()
                return frame if self.reads < 45 else None

        def open_unplugged(config: CameraConfig) -> Short:
            camera = Short(config)
            camera.open()
            return camera

        monkeypatch.setattr(daemon_module, "open_camera", open_unplugged)
        run(quiet(tmp_path, source="demo:astronaut", pace="real"), Signals())
        reported = [(event["track_id"], event["event_type"]) for event in events_of(tmp_path)]
        assert reported == [(1, "start"), (1, "end"), (2, "start"), (2, "end")]

    def test_silence_counts_as_loss(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: Image) -> None:
        signals = Signals()

        class Silent(ReplayCamera):
            """Delivers 15 frames, then hangs without an error, as picamera2 can."""

            reads = 0

            def read(self) -> Frame | None:
                self.reads += 1
                if self.reads > 15:
                    signals.stop.wait(20)
                    return None
                return super().read()

        def open_silent(config: CameraConfig) -> Silent:
            camera = Silent(config)
            camera.open()
            return camera

        monkeypatch.setattr(daemon_module, "open_camera", open_silent)
        config = quiet(tmp_path, source="demo:astronaut", pace="real", timeout_seconds=0.4)
        thread = Thread(target=run, args=(config, signals))
        thread.start()
        path = tmp_path / "events.jsonl"
        wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") == 2, "what shall happen")
        signals.stop.set()
        thread.join(10)
        assert [event["event_type"] for event in events_of(tmp_path)] == ["start", "end"]

    def test_stats_are_attached_every_interval(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Update] = []

        class Collector:
            pictures = False

            def submit(self, update: Update) -> None:
                seen.append(update)

            def close(self, timeout: float) -> None:
                seen.append(Update(None))

        monkeypatch.setattr(daemon_module, "open_sinks", lambda *_: [Collector()])
        config = msgspec.structs.replace(quiet(tmp_path), stats=Stats(interval_seconds=0.1))
        run(config, Signals())
        stats = [update.stats for update in seen if update.stats]
        assert stats
        assert stats[-1].frames > stats[0].frames
        assert 0 < stats[0].fps <= stats[0].frames / 0.1, "in the first interval, which took as long or longer"
        ran = {stage for each in stats for stage in each.stage_ms}  # not each runs in every interval
        assert ran >= {"detect", "landmarks", "classify", "track", "total"}
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        assert stats[-1].rss_mb == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, rel=0.5)
        assert seen[-1].frame is None

    @pytest.mark.parametrize("looks", [False, True])
    def test_colours_are_asked_for_only_where_a_sink_looks_at_them(
        self, looks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: set[bool] = set()

        class Watched(ReplayCamera):
            def read(self) -> Frame | None:
                if self.frames and self._count > 5:  # main has had its say
                    asked.add(self.colour)
                return super().read()

        class Looker:
            pictures = looks

            def submit(self, update: Update) -> None: ...

            def close(self, timeout: float) -> None: ...

        def open_watched(config: CameraConfig) -> Watched:
            camera = Watched(config)
            camera.open()
            return camera

        monkeypatch.setattr(daemon_module, "open_camera", open_watched)
        monkeypatch.setattr(daemon_module, "open_sinks", lambda *_: [Looker()])
        run(quiet(tmp_path), Signals())
        assert asked == {looks}

    def test_a_sink_that_failed_does_not_cost_the_others_their_ends(self, tmp_path: Path) -> None:
        class Broken:
            def submit(self, update: Update) -> None:
                raise OSError("its thread died")

        class Keeper:
            def __init__(self) -> None:
                self.seen: list[Update] = []

            def submit(self, update: Update) -> None:
                self.seen.append(update)

        keeper = Keeper()
        with pytest.raises(OSError, match="its thread died"):
            daemon_module.submit_to_all([Broken(), keeper], Update(None))  # type: ignore[list-item]
        assert len(keeper.seen) == 1

    def test_a_failing_sink_stops_the_daemon(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken:
            pictures = False

            def submit(self, update: Update) -> None:
                raise OSError("its thread died")

            def close(self, timeout: float) -> None:
                logging.getLogger("test").warning("closed")

        monkeypatch.setattr(daemon_module, "open_sinks", lambda *_: [Broken()])
        with pytest.raises(OSError, match="its thread died"):
            run(quiet(tmp_path), Signals())


def test_a_reload_that_is_asked_for_while_one_is_passed_on_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals, asked = Signals(reload=True), []

    def reload(_control: Control, reply: object) -> bool:
        asked.append(reply)
        signals.reload = len(asked) == 1  # the next SIGHUP
        return True

    monkeypatch.setattr(Control, "reload", reload)
    run(quiet(tmp_path), signals)
    assert len(asked) == 2
