"""Who this daemon is, and that there is only one of it."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fer_edge import __version__
from fer_edge.config import Config
from fer_edge.errors import AlreadyRunning
from fer_edge.records import Identity, ModelId
from fer_edge.vision.model_card import Card
from fer_edge.vision.tflite import runtime_name

MACHINE_ID = Path("/etc/machine-id")
SERVICE_FOLDER = Path("/var/lib/fer-edge")
"""What systemd gives the service as its StateDirectory."""


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


def state_folder(config: Config, device_id: str) -> Path:
    """Where this device keeps what outlasts a restart: below state.folder, else systemd's StateDirectory, else the
    user's own (XDG Base Directory Specification)."""
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(config.state.folder or systemd or Path(home, "fer-edge"), device_id)


def identity(config: Config, cards: Sequence[Card]) -> Identity:
    """What every message of this run says of its sender."""
    return Identity(
        device_id=device_id(config),
        boot_id=uuid.uuid4().hex[:12],
        version=__version__,
        models={card.role: ModelId(id=card.name, sha256=card.sha256) for card in cards},
        runtime=runtime_name(config.models.runtime),
    )


@contextmanager
def lock(config: Config) -> Iterator[None]:
    """Hold this device id for as long as the block runs.

    The lock is a name in Linux's abstract socket namespace (unix(7)): it is the same for all users, needs no folder,
    and the kernel lets go of it when the process dies, however it dies.

    Raises:
        AlreadyRunning: another process holds it.
    """
    name = f"\0fer-edge-{device_id(config)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        try:
            holder.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise AlreadyRunning(
                f"a fer-edge daemon with device id {device_id(config)} runs already ({_process(name)}); "
                "stop it, or give this one another device.id"
            ) from None
        holder.listen()
        yield


def _process(name: str) -> str:
    """Who listens on a socket, as the kernel knows it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        try:
            visitor.connect(name)
        except OSError:  # it is just starting or ending
            return "process unknown"
        credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return f"process {struct.unpack('3i', credentials)[0]}"
