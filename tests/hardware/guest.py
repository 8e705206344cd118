"""Machines with a kernel of their own: a root's, in qemu-system without KVM. They leave nothing behind.

For what containers cannot show: a display, a video device, modules. A machine boots in seconds with a small initrd of
our own, which mounts the root's image and hands over to a shell that waits for commands.
"""

from __future__ import annotations

import base64
import json
import lzma
import os
import secrets
import shlex
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import cv2
import numpy as np

from fer_edge.records import Image
from tests.hardware.roots import kept

GUEST = ("linux-image-amd64", "kmod", "busybox-static", "tiny-initramfs")
"""Packages of a root that can boot here, besides roots.SYSTEM; the last one saves a large initrd that nobody uses."""

MODULES = ("virtio_blk", "crc32c_generic", "ext4", "9p", "9pnet_virtio")
"""What the initrd needs to reach the root and the shared folders; the rest of virtio is built in."""

BOOT_SECONDS = 90.0
NAMELESS = ("output", "console", "screen", "initrd")

INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module || echo "initrd: $module cannot be loaded"; done
n=20; while [ ! -b /dev/vda ] && [ $n -gt 0 ]; do $b sleep 0.1; n=$((n-1)); done
$b mount -t ext4 -o noatime /dev/vda /root || exit 1  # the kernel panics, qemu ends
$b mount -t devtmpfs dev /root/dev
$b cp /start /root/start
exec $b switch_root /root /bin/sh /start
"""

START = """\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm /run/udev /run/lock
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
ip link set lo up
mount -t debugfs debug /sys/kernel/debug
@MOUNTS@
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
echo ready
while read -r mark encoded; do
    echo "$encoded" | base64 -d >/run/command
    sh -euc '. /run/command' </dev/null 2>&1
    printf '\\n%s %d\\n' "$mark" $?
done
"""


class Guest:
    """A running machine with a volatile copy of a root (see `GUEST`); `run` and `shell` as in containers.Container.

    It has no network but its own loopback. Nothing is started in it: `udev` does that for devices.
    """

    def __init__(
        self,
        root: Path,
        *,
        binds: Sequence[str] = (),
        disks: Sequence[str] = (),
        devices: Sequence[str] = (),
        memory_mb: int = 1024,
    ) -> None:
        """`binds`: folders as in HERE:THERE, read-only, or HERE:THERE:rw; `disks`: images (`image`) as in
        HERE:THERE, writable but volatile; `devices`: each for qemu's -device."""
        kernel = next((root / "boot").glob("vmlinuz-*"))
        # files without names: they end with the processes that have them open
        self._output, self._console, self._screen, initrd = (_Nameless(name) for name in NAMELESS)
        initrd.write(_initrd(root, kernel.name.removeprefix("vmlinuz-"), _mounts(binds, disks)))
        self._shell, shell = socket.socketpair()
        self._qmp, qmp = socket.socketpair()
        self._buffer = bytearray()
        drives = [image(root), *(Path(disk.split(":")[0]) for disk in disks)]
        command = [
            "qemu-system-x86_64",
            # one processor: with two, a kernel that rewrites its own code now and then stumbles over it in qemu 7.2
            *("-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", str(memory_mb)),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{self._console.path}"),
            *("-kernel", str(kernel), "-initrd", initrd.path),
            *("-append", "console=ttyS0 panic=-1 net.ifnames=0 mitigations=off"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=shell,fd={shell.fileno()}"),
            *("-device", "virtconsole,chardev=shell"),
            *("-chardev", f"socket,id=qmp,fd={qmp.fileno()}", "-mon", "chardev=qmp,mode=control"),
            *(part for drive in drives for part in ("-drive", f"file={drive},if=virtio,format=raw,snapshot=on")),
            *(part for number, bind in enumerate(binds) for part in ("-virtfs", _share(number, bind))),
            *(part for device in devices for part in ("-device", device)),
        ]
        files = (self._output, self._console, self._screen, initrd)
        self._process = subprocess.Popen(
            # the kernel ends it when this process ends, even when that is killed
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=self._output.number,
            stderr=self._output.number,
            pass_fds=[shell.fileno(), qmp.fileno(), *(file.number for file in files)],
        )
        for ours in (shell, qmp, initrd):
            ours.close()

    def __enter__(self) -> Guest:
        """Wait until it has booted."""
        try:
            self._until(b"ready\n", BOOT_SECONDS, "the end of booting")
            self.qmp("qmp_capabilities")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command as root; its standard output and error together, without the last line's end."""
        return self.shell(shlex.join(command), check=check, timeout=timeout)

    def shell(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run lines of a shell; stops at the first that fails. What it leaves running must not hold its output."""
        mark = secrets.token_hex(8)
        self._shell.sendall(f"{mark} {base64.b64encode(script.encode()).decode()}\n".encode())
        output = self._until(f"\n{mark} ".encode(), timeout, script).decode(errors="replace").rstrip("\n")
        code = int(self._until(b"\n", timeout, "its exit code"))
        if check and code:
            raise AssertionError(f"{script}: exit code {code}\n{output}")
        return output

    def udev(self) -> None:
        """Load the modules of all devices and make the nodes and links that udev's rules want."""
        self.shell(
            "/usr/lib/systemd/systemd-udevd --daemon\n"
            "udevadm trigger --type=subsystems --action=add\n"
            "udevadm trigger --type=devices --action=add\n"
            "udevadm settle",
            timeout=120,
        )

    def qmp(self, command: str, **arguments: Any) -> Any:
        """What qemu's monitor answers to a command. Raises AssertionError where it refuses."""
        self._qmp.settimeout(30)
        self._qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        buffer = b""
        while True:
            buffer += self._qmp.recv(1 << 16)
            *lines, buffer = buffer.split(b"\n")
            for answer in map(json.loads, lines):
                if "error" in answer:
                    raise AssertionError(f"{command}: {answer['error']}")
                if "return" in answer:
                    return answer["return"]

    def screen(self, device: str | None = None) -> Image:
        """What the display shows now, u8[H,W,3] BGR; `device`: the id of one of several."""
        self.qmp("screendump", filename=self._screen.path, **({"device": device} if device else {}))
        picture = cv2.imdecode(np.frombuffer(self._screen.read(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.asarray(picture, np.uint8)

    def console(self) -> str:
        """What qemu and the kernel in it said so far."""
        return (self._output.read() + self._console.read()).decode(errors="replace")

    def close(self) -> None:
        """End it, as pulling the plug would."""
        self._process.kill()
        self._process.wait()
        for ours in (self._shell, self._qmp, self._output, self._console, self._screen):
            ours.close()

    def _until(self, mark: bytes, seconds: float, what: str) -> bytes:
        """What the guest writes up to a mark."""
        limit = time.monotonic() + seconds
        seen = 0
        while (at := self._buffer.find(mark, seen)) < 0:
            seen = max(0, len(self._buffer) - len(mark))
            self._buffer += self._receive(limit) or self._fail(f"waited up to {seconds:g} s for {what}")
        before = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return before

    def _receive(self, limit: float) -> bytes:
        """What it writes next; nothing: it has ended, or the time is over."""
        self._shell.settimeout(max(0.001, limit - time.monotonic()))
        try:
            return self._shell.recv(1 << 16)
        except TimeoutError:
            return b""

    def _fail(self, what: str) -> NoReturn:
        message = self._buffer.decode(errors="replace")[-2000:]
        raise AssertionError(f"{what}; it said:\n{message}\nits kernel:\n{self.console()[-3000:]}")


class _Nameless:
    """A file in memory that this process and qemu share."""

    def __init__(self, name: str) -> None:
        self.number = os.memfd_create(name)
        self.path = f"/proc/self/fd/{self.number}"  # for any process that has inherited it

    def write(self, data: bytes) -> None:
        Path(self.path).write_bytes(data)

    def read(self) -> bytes:
        return Path(self.path).read_bytes()

    def close(self) -> None:
        os.close(self.number)


def image(folder: Path, *, spare_mb: int = 512) -> Path:
    """A folder of the cache, which nobody writes to any more, as an ext4 image beside it; made once."""
    with kept(f"{folder.name}.ext4") as (path, there):
        if not there:
            unfinished = path.with_name(f"{path.name}.unfinished")
            unfinished.unlink(missing_ok=True)
            used = int(subprocess.check_output(["du", "-sm", folder]).split()[0])
            options = "lazy_itable_init=1,root_owner=0:0"
            command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", options, "-d", str(folder)]
            size = f"{used * 5 // 4 + spare_mb}M"
            subprocess.run([*command, str(unfinished), size], stdout=subprocess.DEVNULL, check=True)
            unfinished.rename(path)
        return path


def _share(number: int, bind: str) -> str:
    here, _, *writable = bind.split(":")
    access = "readonly=off" if writable else "readonly=on"
    return f"local,path={here},mount_tag=share{number},security_model=none,{access},multidevs=remap"


def _mounts(binds: Sequence[str], disks: Sequence[str]) -> str:
    lines = []
    for number, bind in enumerate(binds):
        _, there, *writable = bind.split(":")
        options = "trans=virtio,version=9p2000.L,msize=512000," + ("rw" if writable else "ro,cache=loose")
        lines.append(f"mkdir -p {there}; mount -t 9p -o {options} share{number} {there}")
    for letter, disk in zip("bcdefgh", disks, strict=False):
        there = disk.split(":")[1]
        lines.append(f"mkdir -p {there}; mount -t ext4 -o noatime /dev/vd{letter} {there}")
    return "\n".join(lines)


def _initrd(root: Path, release: str, mounts: str) -> bytes:
    """A cpio archive of what mounts the root."""
    files = [
        ("init", 0o100755, INIT.encode()),
        ("start", 0o100644, START.replace("@MOUNTS@", mounts).encode()),
        ("bin/busybox", 0o100755, (root / "usr/bin/busybox").read_bytes()),
    ]
    for number, module in enumerate(_modules(root / "usr/lib/modules" / release)):
        files.append(
            (f"modules/{number:02d}-{module.name.split('.')[0]}.ko", 0o100644, lzma.decompress(module.read_bytes()))
        )
    folders = [(name, 0o040755, b"") for name in ("bin", "dev", "modules", "root")]
    return b"".join(_cpio(*entry) for entry in (*folders, *files, ("TRAILER!!!", 0, b"")))


def _modules(folder: Path) -> list[Path]:
    """The files of MODULES and all that they need, in an order in which they can be loaded."""
    needs = dict(line.split(":", 1) for line in (folder / "modules.dep").read_text().splitlines())
    found: dict[str, None] = {}
    for wanted in MODULES:
        path = next(path for path in needs if path.split("/")[-1].split(".")[0] == wanted)
        found |= dict.fromkeys([*reversed(needs[path].split()), path])
    return [folder / path for path in found]


def _cpio(name: str, mode: int, data: bytes) -> bytes:
    """One entry of a cpio archive in the kernel's format ("newc")."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + os.fsencode(name) + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
