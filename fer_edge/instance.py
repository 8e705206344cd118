"""Who this daemon is, and that there is only one of it."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fer_edge import __version__
from fer_edge.config import Config
from fer_edge.errors import AlreadyRunning
from fer_edge.payloads import Identity
from fer_edge.tflite import Card, runtime_name

MACHINE_ID = Path("/etc/machine-id")


def device_id(config: Config) -> str:
    """From config, else made from this machine's id (hashed: machine-id(5) asks not to publish it), else its
    host name."""
    if config.device.id:
        return config.device.id
    try:
        return uuid.uuid5(uuid.UUID(MACHINE_ID.read_text(encoding="ascii").strip()), "fer-edge").hex[:12]
    except (OSError, ValueError):  # no such file, or systemd's word "uninitialized" in it
        pass
    return re.sub(r"[^a-zA-Z0-9_-]", "-", socket.gethostname())[:64] or "fer-edge"


def identity(config: Config, cards: Sequence[Card]) -> Identity:
    """What every message of this run says of its sender."""
    return Identity(
        device_id=device_id(config),
        boot_id=uuid.uuid4().hex[:12],
        version=__version__,
        models={card.role: card.sha256 for card in cards},
        runtime=runtime_name(config.models.runtime),
    )


@contextmanager
def lock(config: Config) -> Iterator[None]:
    """Hold this device id for as long as the block runs; the kernel lets go when the process dies.

    Raises:
        AlreadyRunning: another process holds it.

    """
    path = runtime_folder() / f"{device_id(config)}.lock"
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise AlreadyRunning(
                f"{path}: a fer-edge daemon with device id {device_id(config)!r} runs already (process {pid}); "
                "stop it, or give this one another device.id"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def runtime_folder() -> Path:
    """Systemd's RuntimeDirectory, else the user's, else one below the system's temporary folder."""
    given = os.environ.get("RUNTIME_DIRECTORY")
    base = Path(given or Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"fer-edge-{os.getuid()}"))
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    return base
