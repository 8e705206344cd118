"""Who this daemon is, and that there is only one of it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from fer_edge import __version__
from fer_edge.config import Config
from fer_edge.errors import AlreadyRunning
from fer_edge.records import Hub, Identity, ModelId
from fer_edge.vision.model_card import Card
from fer_edge.vision.tflite import runtime_name

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
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
    """Where this device keeps its persistent state: below state.folder, else systemd's StateDirectory, else the
    user's own (XDG Base Directory Specification)."""
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(config.state.folder or systemd or Path(home, "fer-edge"), device_id)


def identity(config: Config, cards: Sequence[Card], hub: Hub | None = None) -> Identity:
    """The sender's identity in every message of this run; `hub`: of which daemon, where that has several cameras."""
    return Identity(
        device_id=device_id(config),
        boot_id=uuid.uuid4().hex[:12],
        version=__version__,
        models={card.role: ModelId(id=card.name, sha256=card.sha256) for card in cards},
        runtime=runtime_name(config.models.runtime),
        purpose=config.privacy.purpose,
        medical_or_safety=config.privacy.medical_or_safety,
        hub=hub,
    )


@contextmanager
def lock(config: Config, *, make_folder: bool = True) -> Iterator[None]:
    """Hold this device id for as long as the block runs. `make_folder`: the state folder is made where it is missing;
    otherwise nobody holds what is in it.

    What counts is a lock on a file in the state folder (flock(2)): it holds for everybody who shares that folder, in
    containers too, and the kernel releases it when the process dies, however it dies. A name in Linux's abstract
    socket namespace (unix(7)) finds a second daemon of this user, or root, that keeps its state elsewhere.

    Raises:
        AlreadyRunning: another process holds it, or the file cannot be trusted.
    """
    device = device_id(config)
    folder = state_folder(config, device)
    held = _file_lock(folder / LOCK_FILE, device) if make_folder or os.path.isdir(folder) else nullcontext()
    with held, _name_lock(device):
        yield


def is_running(device_id: str) -> bool:
    """Whether a daemon with this device id runs on this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        try:
            holder.bind(f"\0fer-edge-{device_id}")
        except OSError:
            return True
    return False


@contextmanager
def _file_lock(path: Path, device: str) -> Iterator[None]:
    descriptor = _open_lock(path)
    if descriptor is None:
        yield
        return
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _already(device, f"process {file.read(20).strip() or 'unknown'}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _open_lock(path: Path) -> int | None:
    """The lock file, open; None: nothing can be written there, then nobody's state is at stake.

    Raises:
        AlreadyRunning: somebody else owns it, who could hold it against us.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ELOOP) and os.path.lexists(path):
            what = f"{path}: cannot be locked: {error.strerror}; expected a file of this user (id {os.geteuid()})"
            advice = "stop the program that uses this state.folder as another user, then remove the file"
            raise AlreadyRunning(f"{what}; {advice}") from None
        log.warning(
            "%s: cannot be created (%s): a second daemon with this id would not be noticed", path, error.strerror
        )
        return None
    folder, owner = path.parent.stat(), os.fstat(descriptor).st_uid
    if os.geteuid() == 0 and owner == 0:  # as `sudo fer-edge check`: the service must be able to lock it, too
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    elif owner not in (os.geteuid(), 0, folder.st_uid):
        os.close(descriptor)
        what = f"{path}: belongs to user id {owner}; expected {os.geteuid()}"
        raise AlreadyRunning(f"{what}; another user can lock it: remove it, and let nobody else write to that folder")
    return descriptor


@contextmanager
def _name_lock(device: str) -> Iterator[None]:
    name = f"\0fer-edge-{device}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        try:
            holder.bind(name)
            holder.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            process, user = _holder(name)
            if user in (os.geteuid(), 0):
                raise _already(device, f"process {process}") from None
            log.warning("process %s of user id %s holds the lock of device id %s; continuing", process, user, device)
        yield


def _already(device: str, who: str) -> AlreadyRunning:
    return AlreadyRunning(
        f"a fer-edge daemon with device id {device} is already running ({who}); "
        "stop it, or give this one another device.id"
    )


def _holder(name: str) -> tuple[int | str, int | None]:
    """Process and user id of who listens on a socket, as the kernel knows them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(1.0)
        try:
            visitor.connect(name)
        except OSError:  # it does not listen, as a daemon would
            return "unknown", None
        credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", credentials)
    return process, user
