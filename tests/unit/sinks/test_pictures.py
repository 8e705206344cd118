"""Pictures at events: when one is taken, who can be recognised in it, how long it stays, where it shows."""

from __future__ import annotations

import json
import logging
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec import structs

from fer_edge import daemon
from fer_edge.__main__ import main
from fer_edge.commands.check import _pictures
from fer_edge.commands.report.page import page
from fer_edge.commands.report.periods import album
from fer_edge.commands.report.summary import ReportData
from fer_edge.config import Alert, Config, Models, Mqtt, Pictures, Privacy, State, Zone
from fer_edge.drawing.event_picture import event_picture
from fer_edge.errors import ConfigError
from fer_edge.records import AlertState, Box, EventType, Image, Update
from fer_edge.settings.control import Control
from fer_edge.settings.loader import parse_config
from fer_edge.sinks.mqtt.discovery import discovery
from fer_edge.sinks.mqtt.retained import PUBLISHED_FILE
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, PictureRing, delete_pictures, picture_bytes, pictures_in
from fer_edge.sinks.pictures import TRIM_SECONDS, PicturesSink
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.tracker import new_track
from tests.support.face_events import IDENTITY, face_event, face_state
from tests.support.samples import frame_of, reading
from tests.support.web_helpers import serving

JPEG = b"\xff\xd8\xff" + b"picture" + b"\xff\xd9"
NOW_S = 1_800_000_000.0
HOUR = 3600.0
NOISE = np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8)
LEFT, RIGHT = Box(20, 30, 60, 70), Box(130, 30, 170, 70)
TRACKS = (new_track(1, reading(LEFT), 0), new_track(2, reading(RIGHT), 0))


def ring(folder: Path, *, at_s: float = NOW_S, **limits: Any) -> PictureRing:
    return PictureRing(folder, Pictures(**limits), now_s=lambda: at_s)


def decoded(jpeg: bytes | None) -> Image:
    assert jpeg is not None
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def sharpness(image: Image, box: Box) -> float:
    part = image[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    return float(cv2.Laplacian(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


def test_only_those_that_it_is_about_can_be_recognised() -> None:
    image = decoded(event_picture(frame_of(NOISE), TRACKS, (1,), Pictures()))
    assert image.shape == NOISE.shape
    assert sharpness(image, LEFT) > 20 * sharpness(image, RIGHT)
    both = decoded(event_picture(frame_of(NOISE), TRACKS, (1,), Pictures(blur_others=False)))
    assert sharpness(both, RIGHT) > 0.5 * sharpness(both, LEFT)


def test_the_frame_itself_stays_as_it_is() -> None:
    frame = frame_of(NOISE.copy())
    event_picture(frame, TRACKS, (), Pictures())
    assert (frame.image == NOISE).all(), "other sinks look at it too"


def test_a_face_is_cut_out_with_room_around_it() -> None:
    image = decoded(event_picture(frame_of(NOISE), TRACKS, (1,), Pictures(show="face")))
    assert image.shape[:2] == (24 + 40 + 24, 20 + 40 + 24), "up to the picture's edge at the left"
    whole = decoded(event_picture(frame_of(NOISE), TRACKS, (), Pictures(show="face")))
    assert whole.shape == NOISE.shape, "without a face there is nothing to cut out"


@pytest.mark.parametrize("box", [Box(-50, -50, -10, -10), Box(190, 110, 260, 190), Box(-99, -99, 999, 999)])
def test_boxes_may_leave_the_picture(box: Box) -> None:
    track = new_track(1, reading(box), 0)
    for subjects in ((), (1,)):
        assert event_picture(frame_of(NOISE), [track], subjects, Pictures(show="face"))


def test_large_pictures_are_made_smaller() -> None:
    large = np.zeros((1080, 1920, 3), np.uint8)
    assert decoded(event_picture(frame_of(large), (), (), Pictures())).shape == (720, 1280, 3)


def test_a_picture_is_whole_private_and_says_what_it_is_of(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    ring(folder).add("alert", JPEG, name="distress_2-a")
    ring(folder, at_s=NOW_S + 1).add("start", JPEG, track_id=7)
    ring(folder, at_s=NOW_S + 2).add("enter", JPEG, name="door", track_id=7)
    enter, start, alert = pictures_in(folder)
    assert (alert.words, start.words, enter.words) == (
        "Alert distress_2-a is on",
        "Face 7 is here",
        "Face 7 entered door",
    )
    assert (alert.at_s, alert.name, start.track_id) == (NOW_S, "distress_2-a", 7)
    assert picture_bytes(folder, alert.path.name) == JPEG
    assert stat.S_IMODE(alert.path.stat().st_mode) & 0o027 == 0, "nobody else reads or writes it"
    assert stat.S_IMODE(folder.stat().st_mode) & 0o027 == 0


def test_the_oldest_go_beyond_the_limits(tmp_path: Path) -> None:
    for number in range(5):
        ring(tmp_path, at_s=NOW_S + number, max_count=3).add("start", JPEG, track_id=number)
    assert [picture.track_id for picture in pictures_in(tmp_path)] == [4, 3, 2]
    large = JPEG[:3] + bytes(600_000) + JPEG[-2:]
    for number in range(5, 8):
        ring(tmp_path, at_s=NOW_S + number, max_mb=1).add("start", large, track_id=number)
    assert [picture.track_id for picture in pictures_in(tmp_path)] == [7]


def test_what_is_too_old_goes_at_the_start_too(tmp_path: Path) -> None:
    ring(tmp_path).add("start", JPEG, track_id=1)
    ring(tmp_path, at_s=NOW_S + HOUR).add("start", JPEG, track_id=2)
    ring(tmp_path, at_s=NOW_S + 1.5 * HOUR, keep_hours=1).trim()
    assert [picture.track_id for picture in pictures_in(tmp_path)] == [2]


def test_a_clock_that_is_wrong_keeps_nothing_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring(tmp_path, at_s=NOW_S + 9 * HOUR).add("start", JPEG, track_id=1)  # far from the future: its date says nothing
    ring(tmp_path, at_s=NOW_S + 0.5 * HOUR).add("start", JPEG, track_id=2)  # from a little later, by a clock set back
    stopped = ring(tmp_path, keep_hours=1)
    stopped.trim()
    assert [picture.track_id for picture in pictures_in(tmp_path)] == [2]
    later = time.monotonic() + HOUR
    monkeypatch.setattr(time, "monotonic", lambda: later)
    stopped.trim()
    assert pictures_in(tmp_path) == [], "the wall clock stands still, this run does not"


@pytest.mark.parametrize("damage", [b"", bytes(500), JPEG[:-2], b"\0" + JPEG[1:]])
def test_damaged_ones_and_unfinished_ones_go_and_what_is_not_ours_stays(tmp_path: Path, damage: bytes) -> None:
    ring(tmp_path).add("start", JPEG, track_id=1)
    (tmp_path / "1799999999000.start..2.jpg").write_bytes(damage)
    (tmp_path / ".0123456789abcdef.partial").write_bytes(JPEG[:5])
    (tmp_path / "holiday.jpg").write_bytes(JPEG)
    (tmp_path / "1799999998000.start..3.jpg").symlink_to("/etc/passwd")
    assert picture_bytes(tmp_path, "1799999999000.start..2.jpg") is None
    ring(tmp_path).trim()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"1800000000000.start..1.jpg", "holiday.jpg"}
    assert delete_pictures(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"holiday.jpg"}


@pytest.mark.parametrize("name", ["../state.json", "holiday.jpg", "", "1800000000000.start../x.1.jpg"])
def test_no_other_file_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday.jpg").write_bytes(JPEG)
    assert picture_bytes(tmp_path, name) is None


def config(folder: Path, **pictures: Any) -> Config:
    settings = Pictures(enabled=True, **{"at": ("start", "enter", "alert"), "every_seconds": 0.0, **pictures})
    zones = {"door": Zone(points=((0, 0), (1, 0), (1, 1)))}
    rule = {"joy": Alert(expressions=("happiness",))}
    return Config(
        pictures=settings, privacy=Privacy(images=True), state=State(folder=str(folder)), zones=zones, alerts=rule
    )


def start(track_id: int = 1) -> Update:
    event = face_event(event_type=EventType.START, track_id=track_id)
    return Update(frame_of(NOISE), tracks=TRACKS, events=(event,))


def folder_of(state: Path) -> Path:
    return state / "kitchen" / PICTURES_FOLDER


def test_a_start_an_enter_and_an_alert_have_one_each(tmp_path: Path) -> None:
    sink = PicturesSink(config(tmp_path), IDENTITY)
    sink.start()
    sink.submit(start())
    enter = face_event(event_type=EventType.ENTER, track_id=2, zone="door")
    on = AlertState("joy", on=True, mono_ns=0, expressions=("happiness",), faces=1, track_ids=(1,))
    sink.submit(Update(frame_of(NOISE), tracks=TRACKS, events=(enter,), alerts=(on, replace(on, on=False))))
    sink.submit(Update(frame_of(NOISE), tracks=TRACKS, events=(face_event(),)))  # an update: none
    sink.submit(Update(None, events=(face_event(event_type=EventType.START),)))  # no picture from the camera
    sink.close(5)
    assert sorted(each.words for each in pictures_in(folder_of(tmp_path))) == [
        "Alert joy is on",
        "Face 1 is here",
        "Face 2 entered door",
    ]


def test_a_crowd_has_no_more_than_config_allows_and_only_what_it_asks_for(tmp_path: Path) -> None:
    sink = PicturesSink(config(tmp_path, every_seconds=3600.0, at=("start",)), IDENTITY)
    sink.start()
    for number in range(5):
        sink.submit(start(number))
    sink.submit(Update(frame_of(NOISE), alerts=(AlertState("joy", True, 0, (), 0),)))
    sink.close(5)
    assert len(pictures_in(folder_of(tmp_path))) == 1


def test_they_expire_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sinks.pictures.TRIM_SECONDS", min(0.05, TRIM_SECONDS))
    sink = PicturesSink(config(tmp_path, keep_hours=1 / 3600), IDENTITY)
    sink.start()
    sink.submit(start())
    wait_for(lambda: pictures_in(folder_of(tmp_path)) != [], "a picture")
    wait_for(lambda: pictures_in(folder_of(tmp_path)) == [], "its end")
    sink.close(5)


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kitchen").write_text("in its place")
    control = Control(Config())
    shown: list[str] = []
    control.on_picture(lambda what, _: shown.append(what))
    sink = PicturesSink(config(tmp_path), IDENTITY, control)
    sink.start()
    with caplog.at_level(logging.WARNING):
        sink.submit(start())
        sink.submit(start(2))
        sink.close(5)
    assert shown == ["start", "start"], "they are shown all the same"
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("pictures:")]
    assert "not kept" in line


def test_an_alert_says_which_faces_hold_it() -> None:
    happy = face_state("happiness")
    other = replace(happy, track=replace(happy.track, id=9), expression="anger")
    (state,) = AlertMaker({"joy": Alert(expressions=("happiness",), for_seconds=0)}).update(
        [happy, other], 0, minute_of_day=None
    )
    assert state.track_ids == (1,)


def test_they_go_over_mqtt_as_images_and_are_not_retained(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        settings = structs.replace(config(tmp_path / "state"), mqtt=Mqtt(broker="127.0.0.1", port=broker.port))
        control = Control(settings)
        mqtt, pictures = MqttSink(settings, IDENTITY, control), PicturesSink(settings, IDENTITY, control)
        mqtt.start()
        pictures.start()
        with Recorder(broker.port) as seen:
            seen.wait_last("kitchen/availability", b"online")
            pictures.submit(start())
            assert decoded(seen.wait("kitchen/picture/start")[-1]).shape == NOISE.shape
            on = AlertState("joy", on=True, mono_ns=0, expressions=(), faces=1, track_ids=(1,))
            pictures.submit(Update(frame_of(NOISE), tracks=TRACKS, alerts=(on,)))
            seen.wait("kitchen/picture/alert/joy")
        with Recorder(broker.port) as later:
            later.wait("kitchen/info")
            assert later.of("kitchen/picture/start") == []
        pictures.close(5)
        mqtt.close(5)


def test_home_assistant_has_an_image_for_each(tmp_path: Path) -> None:
    def images(settings: Config) -> set[str]:
        message = discovery(IDENTITY, settings)[1].decode()
        return {name for name in ("picture/start", "picture/enter/door", "picture/alert/joy") if name in message}

    assert images(config(tmp_path)) == {"picture/start", "picture/enter/door", "picture/alert/joy"}
    assert images(config(tmp_path, at=("alert",))) == {"picture/alert/joy"}
    assert images(structs.replace(config(tmp_path), pictures=Pictures())) == set()


def test_without_privacy_images_there_are_none() -> None:
    with pytest.raises(ConfigError, match=r"section pictures, key enabled: expected false, or privacy\.images: true"):
        parse_config("pictures: {enabled: true}\n")
    with pytest.raises(ConfigError, match="section pictures, key at: expected section zones to have one"):
        parse_config("pictures: {enabled: true, at: [enter]}\nprivacy: {images: true}\n")


@pytest.mark.parametrize("images", [False, True])
def test_the_page_shows_them_only_where_they_may_leave_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: bool
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    ring(folder_of(tmp_path)).add("alert", JPEG, name="joy")
    (picture,) = pictures_in(folder_of(tmp_path))
    with serving(tmp_path, images=images) as site:
        _, album = site.ask("/pictures")
        one, _ = site.ask(f"/pictures/{picture.path.name}", encoding="latin-1")
        other, _ = site.ask("/pictures/..%2f..%2fconfig.json")
    assert ("Alert joy is on" in album, one.status, other.status) == (images, 200 if images else 404, 404)
    if images:
        assert (one.headers["content-type"], one.headers["cache-control"]) == ("image/jpeg", "no-store")
        assert one.headers["content-length"] == str(len(JPEG))


def test_the_report_has_those_of_its_period(tmp_path: Path) -> None:
    jpeg = event_picture(frame_of(NOISE), (), (), Pictures())
    assert jpeg is not None
    for at_s in (NOW_S, NOW_S + 100):
        ring(tmp_path, at_s=at_s).add("start", jpeg, track_id=3)
    shown = album(tmp_path, NOW_S + 1, NOW_S + 200)
    assert [what.partition(",")[0] for what, _ in shown] == ["Face 3 is here"]
    story = ReportData(title="A hall", name="this period", begin_s=0, end_s=60)
    html = page([story], Models(), shown)
    assert html.count("data:image/jpeg;base64,") == 1
    assert "Pictures at events" not in page([story], Models())


def test_forget_deletes_them_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"device: {{id: kitchen}}\nstate: {{folder: {tmp_path}}}\n")
    ring(folder_of(tmp_path)).add("start", JPEG)
    (tmp_path / "kitchen" / "history.db").write_bytes(b"kept")
    for output in ("kitchen: pictures deleted: 1", "kitchen: no pictures in "):
        assert main(["forget", "--pictures", "--config", str(file)]) == 0
        assert output in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "kitchen").iterdir()] == ["history.db"]


def test_a_daemon_that_keeps_none_deletes_those_of_earlier_runs(tmp_path: Path) -> None:
    settings = structs.replace(config(tmp_path), device=structs.replace(Config().device, id="kitchen"))
    ring(folder_of(tmp_path)).add("start", JPEG)
    daemon.drop_pictures(settings)
    assert "1 in " in _pictures(settings).text
    daemon.drop_pictures(structs.replace(settings, pictures=Pictures()))
    assert pictures_in(folder_of(tmp_path)) == []


def test_pictures_of_an_earlier_device_id_do_not_outlive_it(tmp_path: Path) -> None:
    """Nobody expires them any more. Those of another configuration's device are its own."""
    source, settings = tmp_path / "config.yaml", config(tmp_path)
    settings = structs.replace(settings, device=structs.replace(Config().device, id="kitchen-now"))
    for name, file in (("kitchen", source), ("hall", tmp_path / "other.yaml")):
        ring(tmp_path / name / PICTURES_FOLDER).add("start", JPEG)
        (tmp_path / name / PUBLISHED_FILE).write_text(json.dumps({"source": str(file)}))
    daemon.drop_pictures(settings, source)
    assert pictures_in(tmp_path / "kitchen" / PICTURES_FOLDER) == []
    assert len(pictures_in(tmp_path / "hall" / PICTURES_FOLDER)) == 1
