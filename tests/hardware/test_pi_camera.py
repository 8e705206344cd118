"""Stage `camera`: libcamera's virtual cameras, the real picamera2, and the whole way from there to a broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.records import Box, Image
from tests.hardware.containers import Container
from tests.hardware.virtual_camera import FACE, INSIDE, SIZE, machine, python, write_pictures

CONFIG = """\
device: {id: virtual}
camera: {backend: picamera2, source: "1"}
homeassistant: {enabled: false}
privacy: {images: true}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cameras show."""
    folder = tmp_path_factory.mktemp("camera")
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def pi(pictures: Path) -> Iterator[Container]:
    with machine(pictures) as container:
        yield container


def run_tests(pi: Container, *arguments: str) -> str:
    """Run some of our tests inside; their last line."""
    return pi.run(*python("-m", "pytest", *INSIDE, *arguments), timeout=300).splitlines()[-1]


def test_the_backend_with_the_real_library(pi: Container) -> None:
    last = run_tests(pi, "/fer-edge/tests/hardware/virtual")
    assert "passed" in last
    assert "skipped" not in last


def test_the_contract_of_all_cameras(pi: Container) -> None:
    last = run_tests(pi, "/fer-edge/tests/unit/camera/test_camera.py", "-k", "picamera2_real")
    assert "passed" in last
    assert "skipped" not in last


def test_from_the_camera_to_the_broker(pi: Container, pictures: Path, tmp_path: Path) -> None:
    """virtual camera -> picamera2 -> detection -> event in mosquitto, with the box where the face is."""
    pi.shell(f"cat >/root/config.yaml <<'END'\n{CONFIG}END")
    daemon = python("-m", "fer_edge", "run", "--config", "/root/config.yaml")
    with (tmp_path / "event").open("wb") as output:
        listener = pi.start("mosquitto_sub", "-t", "fer-edge/virtual/event", "-C", "1", "-W", "60", stdout=output)
        pi.run("systemd-run", "--quiet", "--unit=daemon", *daemon)
        assert listener.wait(90) == 0, pi.run("journalctl", "--unit=daemon")
    snapshot = snapshot_of(pi, tmp_path / "snapshot")
    pi.run("systemctl", "stop", "daemon")
    event = json.loads((tmp_path / "event").read_bytes())
    assert event["event_type"] == "start"
    assert event["probabilities"]["happiness"] > 0.5
    (width, height), (x0, y0, x1, y1) = SIZE, event["box"]
    assert Box(x0 * width, y0 * height, x1 * width, y1 * height).iou(Box(*FACE)) > 0.7

    shown = cv2.imread(str(pictures / "face/0.jpg"))
    assert shown is not None
    flag = np.s_[200:400, :60]  # nothing is drawn there, and it is red
    assert np.abs(snapshot[flag].astype(int) - shown[flag]).mean() < 6


def snapshot_of(pi: Container, path: Path) -> Image:
    """Ask for one over MQTT."""
    base = "fer-edge/virtual"
    with path.open("wb") as output:
        topics = ["-t", f"{base}/request/snapshot", "-e", f"{base}/snapshot"]
        assert pi.start("mosquitto_rr", *topics, "-n", "-N", "-W", "20", stdout=output).wait(30) == 0
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


def test_check_names_the_camera(pi: Container) -> None:
    pi.shell(f"cat >/root/config.yaml <<'END'\n{CONFIG}END")
    message = pi.run(*python("-m", "fer_edge", "check", "--config", "/root/config.yaml"), check=False)
    [line] = [line for line in message.splitlines() if " camera " in line]
    assert line.split() == ["ok", "camera", "picamera2", "1", "(face)", "delivers", "640x480", "px"]
