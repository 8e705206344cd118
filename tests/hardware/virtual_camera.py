"""A machine whose libcamera shows pictures of our own, with the real picamera2 beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from fer_edge.camera import open_camera
from fer_edge.config import Camera
from tests.hardware.containers import Container
from tests.hardware.roots import REPOSITORY, SYSTEM, Root, build
from tests.hardware.wheels import project_dependencies, wheels

ROOT = Root(suite="trixie", packages=(*SYSTEM, "python3", "python3-libcamera", "mosquitto", "mosquitto-clients"))

# picamera2 without what a display or a DNG file needs: see virtual/sitecustomize.py
PICAMERA2 = ("picamera2==0.3.38", "av", "jsonschema", "piexif", "pillow", "simplejpeg", "tqdm", "videodev2")
TESTS = ("hypothesis", "pytest", "pytest-timeout")

INSIDE = [
    "--color=no",
    "-p",
    "no:cacheprovider",
    "--timeout=60",
    "--rootdir=/fer-edge",
    "-c",
    "/fer-edge/pyproject.toml",
]
INSIDE += ["-W", "ignore:setDaemon"]  # picamera2 calls it
"""How pytest runs our own tests inside."""

SIZE = (640, 480)
FACE = (252, 92, 392, 268)
"""Eyebrows to chin in the picture of camera 1, marked by hand: left, top, right, bottom in px."""

GRAYS = tuple(range(16, 256, 16))
"""Camera 0 shows them one after the other, each for four frames."""

CAMERA = """\
"{name}":
  supported_formats:
  - {{width: {width}, height: {height}, frame_rates: [5, 250]}}
  frames: {{path: "/camera/{name}/"}}
  location: "CameraLocationFront"
  model: "{name}"
"""

ENVIRONMENT = {
    "PYTHONPATH": "/fer-edge/tests/hardware/virtual:/packages:/fer-edge",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LIBCAMERA_LOG_LEVELS": "*:FATAL",
    # the virtual pipeline of 0.4.0 never sets its buffers' status: new memory must be zero, which means success
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.perturb=255",
    "STATE_DIRECTORY": "/var/lib/fer-edge",
}


def packages() -> Path:
    """The folder with all Python packages that are needed inside; picamera2's own requirements have no wheels."""
    return wheels("3.13", "x86_64", (*project_dependencies(), *TESTS), ("--no-deps", *PICAMERA2))


def write_pictures(folder: Path) -> None:
    """What the cameras show, and libcamera's list of them; picamera2 numbers them by name, backwards."""
    demo = open_camera(Camera(backend="replay", source="demo:astronaut", width=SIZE[0], height=SIZE[1], pace="max"))
    face = demo.read()
    demo.close()
    assert face is not None
    grays = [np.full((SIZE[1], SIZE[0], 3), gray, np.uint8) for gray in GRAYS]
    lines = ["%YAML 1.1", "---"]
    for name, pictures in (("face", [face.image]), ("grays", grays)):
        (folder / name).mkdir()
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / name / f"{number}.jpg"), picture, (cv2.IMWRITE_JPEG_QUALITY, 95))
        lines.append(CAMERA.format(name=name, width=SIZE[0], height=SIZE[1]))
    (folder / "virtual.yaml").write_text("\n".join(lines))


@contextmanager
def machine(folder: Path) -> Iterator[Container]:
    """A booted one, with the cameras whose pictures are in `folder` (`write_pictures`)."""
    binds = [f"{REPOSITORY}:/fer-edge", f"{packages()}:/packages", f"{folder}:/camera"]
    with Container(build(ROOT), binds=binds) as container:
        container.shell(
            "mkdir -p /usr/share/libcamera/pipeline/virtual\n"
            "cp /camera/virtual.yaml /usr/share/libcamera/pipeline/virtual/"
        )
        yield container


def python(*arguments: str) -> list[str]:
    """A command that runs Python in the machine, where picamera2 finds the cameras."""
    return ["env", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "python3", *arguments]
