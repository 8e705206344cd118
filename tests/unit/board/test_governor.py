"""rate.py: how many frames a second are looked at. Time is that of the frames: nothing here waits for a clock."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from threading import Condition
from typing import Any

import msgspec
import numpy as np
import pytest

import fer_edge.daemon as daemon_module
from fer_edge.board.governor import Governor
from fer_edge.board.health import Health, HealthWatch
from fer_edge.camera.capture import CaptureThread
from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera, Config, Device, Mqtt, Rate, Stats
from fer_edge.daemon import Signals, run
from fer_edge.records import Frame, RateReason, Update
from fer_edge.records import Stats as StatsRecord
from fer_edge.settings.constraints import combination_errors
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import STATS

FPS = 15.0
DARK = np.zeros((4, 4, 3), np.uint8)


class Room:
    """A board and a camera of 15 frames a second, with somebody in view."""

    def __init__(self, *, live: bool = True, **rate: Any) -> None:
        self.health, self.faces, self.seq = Health(50.0, 0), 1, 0
        config = Config(camera=Camera(fps=FPS), rate=msgspec.structs.replace(Rate(), **rate))
        self.governor = Governor(config, lambda: self.health, live=live)

    def taken(self, seconds: float) -> float:
        """Let time pass; the frames per second that were looked at."""
        count = 0
        for _ in range(round(seconds * FPS)):
            frame = Frame(self.seq, round(self.seq * 1e9 / FPS), DARK, DARK[..., 0])
            self.seq += 1
            if self.governor.takes(frame):
                count += 1
                self.governor.saw(self.faces, frame)
        return count / seconds

    def at(self, degrees: float, bits: int = 0) -> tuple[float, RateReason | None]:
        """Half a minute on a board like this: the rate that is aimed at, and why."""
        self.health = Health(degrees, bits)
        self.taken(30)
        assert self.governor.target_fps
        return round(self.governor.target_fps, 2), self.governor.reason


def test_a_cool_board_looks_at_every_frame() -> None:
    room = Room()
    assert room.taken(10) == FPS
    assert (room.governor.target_fps, room.governor.reason, room.governor.skipped) == (FPS, None, 0)


@pytest.mark.parametrize("target", [1.0, 2.0, 4.7, 7.5, 11.0, 14.9])
def test_the_rate_that_is_aimed_at_is_the_rate_that_is_reached(target: float) -> None:
    room = Room(weak_share=max(0.05, target / FPS), min_fps=1.0, idle_fps=1.0)
    room.health = Health(50.0, 1)
    assert room.taken(60) == pytest.approx(target, abs=0.05)
    assert room.governor.skipped == pytest.approx(60 * (FPS - target), abs=3)


def test_the_hotter_the_slower_and_never_below_the_least() -> None:
    room = Room()
    assert room.at(74.9) == (FPS, None)
    assert room.at(76) == (13.5, RateReason.HOT)
    assert room.at(80) == (7.5, RateReason.HOT)
    assert room.at(84.5) == (2.0, RateReason.HOT)
    assert room.at(120) == (2.0, RateReason.HOT)
    assert room.taken(10) == pytest.approx(2.0, abs=0.1)


def test_the_way_back_begins_when_it_is_cooler_by_the_hysteresis() -> None:
    room = Room()
    assert room.at(80)[0] == 7.5
    assert [room.at(degrees)[0] for degrees in (79, 78, 77.5, 79)] == [7.5] * 4
    assert room.at(76) == (9.0, RateReason.HOT)
    assert room.at(73) == (13.5, RateReason.HOT)
    assert room.at(71.9) == (FPS, None)


def test_a_trembling_sensor_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    with caplog.at_level(logging.INFO):
        rates = {room.at(75 + tremble)[0] for tremble in (1, 0.4, 1, -0.6, 0.9, -1.5, 1)}
    assert rates == {13.5}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("bits", "fps", "reason"),
    [
        (0x1, 7.5, RateReason.UNDER_VOLTAGE),
        (0x50005, 7.5, RateReason.UNDER_VOLTAGE),
        (0x2, 7.5, RateReason.THROTTLED),
        (0x4, 7.5, RateReason.THROTTLED),
        (0x8, 12.86, RateReason.SOFT_LIMIT),  # 15 x 1.2 / 1.4
        (0xF0000, FPS, None),  # what was since the start is over
    ],
)
def test_what_the_firmware_says(bits: int, fps: float, reason: RateReason | None) -> None:
    assert Room().at(61, bits) == (fps, reason)


def test_after_the_firmware_it_comes_back_slowly() -> None:
    room = Room()
    room.at(60, 1)
    assert [room.at(60)[0] for _ in range(5)] == [7.5, 7.5, 11.25, 15.0, 15.0]
    assert room.governor.reason is None


def test_a_milder_word_of_the_firmware_does_not_end_the_hold() -> None:
    room = Room()
    room.at(60, 1)
    assert [room.at(60, 8)[0] for _ in range(4)] == [7.5, 7.5, 11.25, 12.86]
    assert room.governor.reason is RateReason.SOFT_LIMIT


def test_voltage_that_comes_and_goes_is_no_up_and_down(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    with caplog.at_level(logging.INFO):
        assert {room.at(60, bits)[0] for bits in (1, 0, 1, 0, 1, 0)} == {7.5}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = "processing fewer frames, now 7.5 a second: the supply voltage is too low; it needs another power supply or"
    assert record.message == f"{text} cable (60 C)"


def test_the_lowest_limit_counts() -> None:
    assert Room().at(84, 1) == (2.0, RateReason.HOT)
    assert Room().at(76, 1) == (7.5, RateReason.UNDER_VOLTAGE)


def test_an_empty_room_is_looked_at_less_until_somebody_comes(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    room.taken(10)
    room.faces = 0
    with caplog.at_level(logging.INFO):
        assert room.taken(59) == FPS
        room.taken(2)
        assert room.taken(20) == pytest.approx(5.0, abs=0.1)
        assert room.governor.reason is RateReason.IDLE
        room.faces = 1
        assert room.taken(1) >= FPS - 3  # one frame of the slow pace, then all
    assert room.governor.target_fps == FPS
    assert [record.message for record in caplog.records] == [
        "processing fewer frames, now 5 a second: no face has been seen for a while (50 C)",
        "processing every frame again",
    ]


def test_an_empty_room_from_the_start() -> None:
    room = Room(idle_after_seconds=5.0)
    room.faces = 0
    room.taken(6)
    assert room.governor.reason is RateReason.IDLE
    never = Room(idle_after_seconds=0.0)
    never.faces = 0
    assert never.taken(200) == FPS


def test_a_slow_camera_is_not_slowed_further() -> None:
    config = Config(camera=Camera(fps=1.5))
    governor = Governor(config, lambda: Health(90.0, 7), live=True)
    for seq in range(200):
        assert governor.takes(Frame(seq, round(seq * 1e9 / 1.5), DARK, DARK[..., 0]))
    assert governor.reason is None


def test_a_board_that_tells_nothing_is_taken_for_a_good_one() -> None:
    room = Room()
    room.health = Health(None, None)
    assert room.taken(10) == FPS


@pytest.mark.parametrize("room", [Room(live=False), Room(enabled=False)], ids=["recording", "off"])
def test_what_is_never_slowed(room: Room) -> None:
    room.health, room.faces = Health(90.0, 7), 0
    assert room.taken(200) == FPS
    assert room.governor.skipped == 0


def test_switched_off_while_it_is_slow() -> None:
    room = Room()
    assert room.at(90)[0] == 2.0
    room.governor.configure(Config(camera=Camera(fps=FPS), rate=Rate(enabled=False)))
    assert room.taken(10) == FPS
    assert (room.governor.target_fps, room.governor.reason) == (FPS, None)


@pytest.mark.parametrize(
    ("rate", "blamed"),
    [
        (Rate(warm_c=85.0), "warm_c"),
        (Rate(idle_fps=1.0), "idle_fps"),
    ],
)
def test_limits_that_contradict_each_other(rate: Rate, blamed: str) -> None:
    assert [(section, keys[0]) for section, keys, _ in combination_errors(Config(rate=rate))] == [("rate", blamed)]


def test_no_rate_is_too_slow_for_the_watchdog() -> None:
    with pytest.raises(msgspec.ValidationError, match=r">= 1\.0"):
        msgspec.convert({"min_fps": 0.9}, Rate)


def test_a_clock_that_starts_anew_stops_nothing() -> None:
    room = Room()
    room.at(90)
    room.seq = 0
    assert room.taken(10) == pytest.approx(2.0, abs=0.2)


def test_figures_tell_of_it() -> None:
    room = Room()
    room.at(80, 0x10000)
    assert room.governor.annotate(None) is None
    stats = room.governor.annotate(STATS)
    assert stats
    assert (stats.temperature_c, stats.throttled, stats.target_fps) == (80.0, 0x10000, 7.5)
    assert (stats.rate_reason, stats.skipped_frames) == (RateReason.HOT, room.governor.skipped)
    recording = Room(live=False).governor.annotate(STATS)
    assert recording
    assert (recording.target_fps, recording.rate_reason) == (None, None)


class Filmed(ReplayCamera):
    """The demo without a pause, on a board that is hot from frame 200 to 400; read when the frame before is taken."""

    boards: list[Health]
    feeds: list[CaptureThread]

    def read(self) -> Frame | None:
        wait_for(lambda: self.feeds[-1].mailbox.empty, "the frame before is taken")
        frame = super().read()
        if frame is None or frame.seq == 600:
            return None
        self.boards.append(Health(90.0 if 200 <= frame.seq < 400 else 50.0, 0))
        return frame


class Keeper:
    """What a sink gets of a run, without the pictures."""

    pictures = False

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.stats: list[StatsRecord] = []
        self.kinds: list[str] = []

    def submit(self, update: Update) -> None:
        self.steps += [update.frame.seq] if update.frame else []
        self.stats += [update.stats] if update.stats else []
        self.kinds += [event.event_type.value for event in update.events]

    def close(self, timeout: float) -> None:
        pass

    def thirds(self) -> tuple[int, ...]:
        """Finished steps before, while and after the board is hot."""
        return tuple(sum(first <= number < first + 200 for number in self.steps) for first in (0, 200, 400))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Keeper]:
    """A run of the daemon on such a camera, live or not."""
    keeper = Keeper()

    def play(live: bool) -> Keeper:
        def open_filmed(config: Camera) -> Filmed:
            camera = Filmed(config)
            camera.live = live
            camera.open()
            return camera

        def make_feed(opener: Callable[[], Filmed], *, live: bool, changed: Condition) -> CaptureThread:
            Filmed.feeds.append(CaptureThread(opener, live=live, changed=changed))
            return Filmed.feeds[-1]

        monkeypatch.setattr(Filmed, "boards", [Health()], raising=False)
        monkeypatch.setattr(Filmed, "feeds", [], raising=False)
        monkeypatch.setattr(daemon_module, "open_camera", open_filmed)
        monkeypatch.setattr(daemon_module, "CaptureThread", make_feed)
        monkeypatch.setattr(daemon_module, "open_sinks", lambda *_: [keeper])
        monkeypatch.setattr(HealthWatch, "latest", property(lambda _: Filmed.boards[-1]))
        config = Config(
            device=Device(id=f"rate-{os.getpid()}"),
            camera=Camera(backend="replay", source="demo:astronaut", pace="max", loop=True),
            mqtt=Mqtt(enabled=False),
            stats=Stats(interval_seconds=0.01),
        )
        run(config, Signals())
        return keeper

    return play


def test_a_hot_board_makes_fewer_steps_and_a_cool_one_all_again(
    ran: Callable[[bool], Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        keeper = ran(True)
    before, hot, after = keeper.thirds()
    assert (before, after) == (200, 200)
    assert 25 <= hot <= 29  # 2 instead of 15 a second
    stats = keeper.stats
    assert {each.rate_reason for each in stats} == {None, RateReason.HOT}
    assert {each.target_fps for each in stats} == {15.0, 2.0}
    assert (stats[-1].skipped_frames, stats[-1].dropped_frames) == (200 - hot, 0)
    assert [record.message for record in caplog.records if "processing" in record.message] == [
        "processing fewer frames, now 2 a second: the board is hot; it needs cooling (90 C)",
        "processing every frame again",
    ]
    assert keeper.kinds.count("start") == keeper.kinds.count("end") > 0


def test_a_recording_is_never_slowed(ran: Callable[[bool], Keeper]) -> None:
    keeper = ran(False)
    assert keeper.thirds() == (200, 200, 200)
    assert {each.target_fps for each in keeper.stats} == {None}
