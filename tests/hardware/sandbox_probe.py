"""What a process may do, and what the models answer there: run within the unit's sandbox and outside, and compared.

`python3 sandbox_probe.py OUT [HOST]` with fer_edge on its path; writes one JSON object. HOST: a name to look up, where
a broker listens.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import mmap
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.tflite import open_interpreter

LIBC = ctypes.CDLL(None, use_errno=True)
RUNS = 40


def call(name: str, *arguments: object) -> None:
    """A function of the C library; raises OSError."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def outcome(action: Callable[[], object]) -> str:
    """`done`, or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def set_user_id_bit() -> None:
    path = Path(os.environ.get("STATE_DIRECTORY", "/tmp"), "suid")
    path.touch()
    try:
        path.chmod(0o4700)
    finally:
        path.unlink()


def attempts(host: str) -> dict[str, str]:
    """What a service could be misused for, then what it needs. None of it needs a privilege that root has and the
    service's user does not, as far as that can be avoided: it is the sandbox that has to refuse it."""
    actions: dict[str, Callable[[], object]] = {
        "write /etc": lambda: Path("/etc/probe").touch(),
        "write /usr": lambda: Path("/usr/probe").touch(),
        "write /usr/lib/fer-edge": lambda: Path("/usr/lib/fer-edge/probe").touch(),
        "write /opt": lambda: Path("/opt/probe").touch(),
        "list /home": lambda: os.listdir("/home"),
        "list /root": lambda: os.listdir("/root"),
        "write /proc/sys": lambda: Path("/proc/sys/kernel/hostname").write_text("probe"),
        "open /dev/probe": lambda: os.close(os.open("/dev/probe", os.O_RDWR)),
        "adjtimex": lambda: call("adjtimex", ctypes.create_string_buffer(1024)),
        "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unshare a user namespace": lambda: call("unshare", 0x10000000),
        "ptrace": lambda: call("ptrace", 0, 0, None, None),
        "personality": lambda: call("personality", 0x0008),
        "lower the priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 1),
        "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "memory to write and execute": lambda: mmap.mmap(-1, 4096, prot=7).close(),
        "set-user-id file": set_user_id_bit,
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "write /tmp": lambda: Path("/tmp/probe").touch(),
        "write /run/fer-edge": lambda: Path("/run/fer-edge/probe").touch(),
        "write /var/lib/fer-edge": lambda: Path("/var/lib/fer-edge/probe").touch(),
        "resolve and connect": lambda: socket.create_connection((host, 1883), 5).close(),
        "read /proc/cpuinfo": lambda: Path("/proc/cpuinfo").read_text(),
        "open /dev/urandom": lambda: os.close(os.open("/dev/urandom", os.O_RDONLY)),
    }
    return {name: outcome(action) for name, action in actions.items()}


def model_answers(name: str, threads: int) -> dict[str, Any]:
    """A model's outputs for made-up pictures, its best time in ms, and whether XNNPACK runs it."""
    path = models_folder(None) / f"{name}.tflite"
    interpreter = open_interpreter(path.read_bytes(), path, threads=threads)
    takes = interpreter.get_input_details()[0]
    random, digest, seconds = np.random.default_rng(1), hashlib.sha256(), []
    for _ in range(RUNS):
        interpreter.set_tensor(takes["index"], random.integers(-128, 128, takes["shape"], np.int8))
        begun = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - begun)
        for gives in interpreter.get_output_details():
            digest.update(interpreter.get_tensor(gives["index"]).tobytes())
    delegated = any(each["op_name"] == "DELEGATE" for each in interpreter._get_ops_details())  # no public way
    return {"sha256": digest.hexdigest(), "ms": statistics.median(seconds) * 1e3, "xnnpack": delegated}


def faces() -> str:
    """Everything that is seen in the bundled picture, to the last bit."""
    image = read_picture(PICTURES / "astronaut.jpg")
    gray = np.asarray(image.mean(axis=2), np.uint8)
    tracks = Pipeline(Config()).look(Frame(0, 0, image, gray)).tracks
    digest = hashlib.sha256(str(len(tracks)).encode())
    for track in tracks:
        assert track.expression is not None
        digest.update(track.expression.probabilities.tobytes() + repr(track.box).encode())
    return digest.hexdigest()


def status() -> dict[str, str]:
    """What the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


if __name__ == "__main__":
    found = {
        "attempts": attempts(sys.argv[2] if len(sys.argv) > 2 else "localhost"),
        "status": status(),
        "models": {
            f"{name}, {threads} threads": model_answers(name, threads)
            for name in ("detector", "landmarks", "expression")
            for threads in (1, 2)
        },
        "faces": faces(),
    }
    Path(sys.argv[1]).write_text(json.dumps(found))
