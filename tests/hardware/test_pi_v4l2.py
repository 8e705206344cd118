"""Stage `v4l2`: the backend for webcams over the kernel's V4L2, in a machine with a kernel of its own.

Takes less than two minutes with everything built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.hardware.guest import GUEST, Guest, image
from tests.hardware.roots import REPOSITORY, SYSTEM, Root, build
from tests.hardware.virtual_camera import INSIDE, packages

ROOT = Root(suite="trixie", packages=(*SYSTEM, *GUEST, "python3"))
WEBCAM = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0"


@pytest.fixture(scope="module")
def pi() -> Iterator[Guest]:
    with Guest(build(ROOT), binds=[f"{REPOSITORY}:/fer-edge"], disks=[f"{image(packages())}:/packages"]) as guest:
        guest.shell(f"modprobe vivid {WEBCAM}")
        yield guest


def test_the_backend_with_the_real_kernel(pi: Guest) -> None:
    """What is peculiar to V4L2, and the contract of all cameras; in one process, which takes its time to start."""
    tests = "/fer-edge/tests/hardware/vivid /fer-edge/tests/unit/camera/test_camera.py -k 'vivid or v4l2_real'"
    environment = "PYTHONPATH=/packages:/fer-edge PYTHONDONTWRITEBYTECODE=1"
    last = pi.shell(f"{environment} python3 -m pytest {' '.join(INSIDE)} {tests}", timeout=400).splitlines()[-1]
    assert re.search(r"\d{2} passed", last)
    assert "skipped" not in last
