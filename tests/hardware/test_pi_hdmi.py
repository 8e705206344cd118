"""The preview on displays of two drivers, in a machine with a kernel of its own: seen on its screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.camera.replay import PICTURES
from fer_edge.config import Config
from fer_edge.drawing.painter import Painter, fitted
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image
from tests.hardware.guest import GUEST, Guest, image
from tests.hardware.roots import REPOSITORY, SYSTEM, Root, build
from tests.hardware.wheels import project_dependencies, wheels
from tests.support.samples import frame_of

ROOT = Root(suite="trixie", packages=(*SYSTEM, *GUEST, "python3"))
CONFIG = """\
device: {id: guest}
camera: {backend: replay, source: /src/fer_edge/camera/pictures/astronaut.jpg, loop: true, fps: 1}
events: {heartbeat_seconds: 0.9}
mqtt: {enabled: false}
jsonl: {enabled: true, path: /tmp/events}
state: {folder: /tmp/state}
hdmi: {enabled: true, mode: "%s", status: false}
"""
WRITE = "printf '\\033[2J\\033[H\\033[?25lthe console' >/dev/tty1"
FER_EDGE = "PYTHONPATH=/src:/wheels PYTHONDONTWRITEBYTECODE=1 python3 -m fer_edge"
AS_SERVICE = "setpriv --reuid=nobody --regid=nogroup --groups=video"  # no more rights than the unit gives
HOLD = "import os, time; os.open('/dev/dri/card0', os.O_RDWR); time.sleep(1000)"


@dataclass
class Daemon:
    """`fer-edge run` in a guest."""

    guest: Guest

    def start(self, command: str, name: str) -> None:
        self.guest.shell(f"(umask 0; exec setsid {command} >>/tmp/{name}.log 2>&1) & echo $! >/tmp/{name}.pid")

    def stop(self, name: str, signal: str = "TERM") -> None:
        gone = "while kill -0 $pid 2>/dev/null; do sleep 0.1; done"
        self.guest.shell(f"pid=$(cat /tmp/{name}.pid); kill -{signal} $pid; {gone}")

    def output(self) -> str:
        return self.guest.shell("cat /tmp/run.log", check=False)

    def wait(self, what: str, test: Callable[[], object], seconds: float = 240.0) -> None:
        limit = time.monotonic() + seconds
        while not test():
            assert time.monotonic() < limit, f"waited {seconds:g} s for {what}\n{self.output()}"
            time.sleep(0.3)

    def events(self) -> tuple[int, float]:
        """How many events there were so far, and when by the guest's clock, seconds."""
        count, uptime = self.guest.shell("cat /tmp/events 2>/dev/null | wc -l; cut -d' ' -f1 /proc/uptime").split()
        return int(count), float(uptime)


def expected(width: int, height: int) -> Image:
    """What draw.py makes of the same picture after the same pipeline, as a screen of this size should show it."""
    pipeline, picture = Pipeline(Config()), cv2.imread(str(PICTURES / "astronaut.jpg"))
    assert picture is not None
    for second in range(10):
        update = pipeline.step(frame_of(np.asarray(picture, np.uint8), seq=second, seconds=second))
    assert update.frame
    left, top, right, bottom = fitted(update.frame.width, update.frame.height, (width, height))
    screen = np.zeros((height, width, 3), np.uint8)
    screen[top:bottom, left:right] = Painter().paint(update.frame, update.faces, size=(right - left, bottom - top))
    return screen


def shows(guest: Guest, expected: Image) -> bool:
    """Whether the screen shows a picture, as exactly as two builds of OpenCV and of the models' kernels agree."""
    screen = guest.screen()
    if screen.shape != expected.shape:
        return False
    difference = np.abs(screen.astype(int) - expected).max(axis=2)
    return bool(difference.mean() < 1.0 and (difference > 32).mean() < 0.005)


@pytest.mark.parametrize(
    ("device", "module", "mode", "size"),
    [("VGA", "bochs", "1280x800", (1280, 800)), ("virtio-gpu-pci", "virtio_gpu", "1024x768", (1024, 768))],
)
def test_preview(device: str, module: str, mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG % mode)
    tmp_path.chmod(0o755)
    packages = wheels("3.13", "x86_64", project_dependencies())
    with Guest(
        build(ROOT),
        binds=[f"{REPOSITORY}:/src", f"{tmp_path}:/config"],
        disks=[f"{image(packages, spare_mb=16)}:/wheels"],
        devices=[device],
    ) as guest:
        guest.shell(f"/usr/lib/systemd/systemd-udevd --daemon\nmodprobe {module}\nudevadm settle")
        _walk(Daemon(guest), expected(*size))


def _walk(daemon: Daemon, picture: Image) -> None:
    guest = daemon.guest
    guest.shell(WRITE)
    console = guest.screen()
    assert console.any(), "there is text"

    daemon.start(f'python3 -c "{HOLD}"', "other")  # a program that has the display, as a desktop does
    daemon.start(f"env {AS_SERVICE} env {FER_EDGE} run -c /config/config.yaml", "run")
    daemon.wait("the first events", lambda: daemon.events()[0] > 1)
    taken = [_five(daemon)]
    assert "another program is using the display" in daemon.output()
    assert (guest.screen() == console).all()

    daemon.stop("other", "KILL")
    daemon.wait("the picture", partial(shows, guest, picture))
    taken.append(_five(daemon))

    (status,) = guest.shell("ls /sys/class/drm/card0-*/status").split()
    guest.shell(f"echo off >{status}")
    daemon.wait("the end of the display", lambda: "is unplugged" in daemon.output())
    taken.append(_five(daemon))
    assert not shows(guest, picture)
    guest.shell(f"echo detect >{status}")
    daemon.wait("the picture", partial(shows, guest, picture))
    # emulated processors on a busy machine keep no exact pace, but what waits for a display would stand still
    assert max(taken) < 3 * taken[0], f"seconds for five events with a display that is taken, ours, unplugged: {taken}"
    print(f"seconds for five events with a display that is taken, ours, unplugged: {taken}")

    daemon.stop("run")
    _console_is_back(daemon, console)
    daemon.start(f"env {AS_SERVICE} env {FER_EDGE} run -c /config/config.yaml", "run")
    daemon.wait("the picture", partial(shows, guest, picture))
    daemon.stop("run", "KILL")  # then the kernel has to
    _console_is_back(daemon, console)
    assert "Traceback" not in daemon.output()


def _console_is_back(daemon: Daemon, console: Image) -> None:
    """What is written to it is seen. (The emulated VGA card forgets what was there when a mode is set.)"""
    daemon.guest.shell(WRITE)
    daemon.wait("the console", lambda: np.array_equal(daemon.guest.screen(), console), seconds=30)


def _five(daemon: Daemon) -> float:
    """Seconds by the guest's clock until five more events are there, one for each frame."""
    first, begun = daemon.events()
    daemon.wait("five events", lambda: daemon.events()[0] >= first + 5)
    return daemon.events()[1] - begun
