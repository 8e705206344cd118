"""Talks to the kernel about displays: mode setting and plain ("dumb") buffers by ioctl, without any library."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fer_edge.records import Image
from fer_edge.sinks.hdmi import drm_abi as abi


class Node(Protocol):
    """An open /dev/dri/cardN. Everything raises OSError where the kernel refuses."""

    def ioctl(self, request: int, argument: ctypes.Structure | None = None) -> None:
        """Ask the kernel; it answers in `argument`."""

    def map(self, offset: int, size: int) -> Image:
        """Memory of a buffer, u8[size], writable, until the node is closed."""

    def read(self, timeout: float) -> bytes:
        """Events that have come within `timeout` seconds; none: nothing."""

    def close(self) -> None:
        """Give up master and all buffers."""


class KernelNode:
    """The real one."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def ioctl(self, request: int, argument: ctypes.Structure | None = None) -> None:
        """See `Node`; continues after an interrupting signal."""
        while True:
            try:
                fcntl.ioctl(self._file, request, 0 if argument is None else argument)
            except OSError as error:
                if error.errno not in (errno.EINTR, errno.EAGAIN):
                    raise
            else:
                return

    def map(self, offset: int, size: int) -> Image:
        """See `Node`. The memory is unmapped when nobody uses it any more."""
        return np.frombuffer(mmap.mmap(self._file, size, offset=offset), np.uint8)

    def read(self, timeout: float) -> bytes:
        """See `Node`."""
        ready, _, _ = select.select([self._file], [], [], timeout)
        return os.read(self._file, 4096) if ready else b""

    def close(self) -> None:
        """See `Node`."""
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Connector:
    """A socket, and what is plugged into it."""

    id: int
    name: str  # as in "HDMI-A-1"
    connected: bool
    modes: tuple[abi.ModeInfo, ...]
    encoders: tuple[int, ...]  # those that can feed it
    encoder: int  # the one that does; 0: none


@dataclass(frozen=True, slots=True)
class Buffer:
    """A frame buffer."""

    fb: int
    handle: int
    pixels: Image  # u8[H,W,bytes], rows may be further apart than they are long


class DisplayCard:
    """What a card can do, in calls. For one thread. Everything raises OSError where the kernel refuses."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def has_dumb_buffers(self) -> bool:
        """Whether it has any display at all: cards that only render have no such buffers."""
        capability = abi.Capability(capability=abi.CAP_DUMB_BUFFER)
        with suppress(OSError):
            self.node.ioctl(abi.GET_CAP, capability)
        return bool(capability.value)

    def become_master(self) -> bool:
        """Whether we may set modes. The first to open a card without a master becomes it; later only root can."""
        try:
            self.node.ioctl(abi.SET_MASTER)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EINVAL):
                raise
            return False
        return True

    def resources(self) -> tuple[list[int], list[int]]:
        """The ids of its CRTCs, in the order of the bits that name them, and of its connectors."""
        counted = abi.CardRes()
        self.node.ioctl(abi.GETRESOURCES, counted)
        crtcs, connectors = (abi.U32 * counted.count_crtcs)(), (abi.U32 * counted.count_connectors)()
        asked = abi.CardRes(
            crtc_id_ptr=ctypes.addressof(crtcs),
            connector_id_ptr=ctypes.addressof(connectors),
            count_crtcs=len(crtcs),
            count_connectors=len(connectors),
        )
        self.node.ioctl(abi.GETRESOURCES, asked)
        return list(crtcs)[: asked.count_crtcs], list(connectors)[: asked.count_connectors]

    def connector(self, number: int, *, look: bool = True) -> Connector:
        """A connector. `look`: ask what is plugged in now, which takes tens of milliseconds; otherwise what the kernel
        knows already, without modes."""
        some = (abi.ModeInfo * 1)()
        counted = abi.GetConnector(connector_id=number, modes_ptr=ctypes.addressof(some), count_modes=0 if look else 1)
        self.node.ioctl(abi.GETCONNECTOR, counted)  # without room for modes: the kernel looks
        modes, encoders = (abi.ModeInfo * (counted.count_modes if look else 1))(), (abi.U32 * counted.count_encoders)()
        asked = abi.GetConnector(
            connector_id=number,
            modes_ptr=ctypes.addressof(modes),
            count_modes=len(modes),
            encoders_ptr=ctypes.addressof(encoders),
            count_encoders=len(encoders),
        )
        self.node.ioctl(abi.GETCONNECTOR, asked)
        kind = (
            abi.CONNECTOR_TYPES[asked.connector_type] if asked.connector_type < len(abi.CONNECTOR_TYPES) else "Unknown"
        )
        return Connector(
            number,
            f"{kind}-{asked.connector_type_id}",
            asked.connection == abi.CONNECTED,
            tuple(modes) if look and asked.count_modes == len(modes) else (),
            tuple(encoders)[: asked.count_encoders],
            asked.encoder_id,
        )

    def encoder(self, number: int) -> abi.GetEncoder:
        """An encoder."""
        asked = abi.GetEncoder(encoder_id=number)
        self.node.ioctl(abi.GETENCODER, asked)
        return asked

    def crtc(self, number: int) -> abi.ModeCrtc:
        """What a CRTC does now."""
        asked = abi.ModeCrtc(crtc_id=number)
        self.node.ioctl(abi.GETCRTC, asked)
        return asked

    def set_crtc(
        self,
        number: int,
        *,
        connectors: Sequence[int] = (),
        fb: int = 0,
        mode: abi.ModeInfo | None = None,
        x: int = 0,
        y: int = 0,
    ) -> None:
        """Show a frame buffer from (x, y) px on in a mode; without any: switch the CRTC off."""
        ids = (abi.U32 * len(connectors))(*connectors)
        asked = abi.ModeCrtc(
            crtc_id=number, fb_id=fb, x=x, y=y, mode_valid=mode is not None, mode=mode or abi.ModeInfo()
        )
        asked.set_connectors_ptr, asked.count_connectors = ctypes.addressof(ids), len(ids)
        self.node.ioctl(abi.SETCRTC, asked)

    def create(self, width: int, height: int, *, pixel_format: int) -> Buffer:
        """A black frame buffer of width x height px in abi.XRGB8888 or RGB565."""
        size = 4 if pixel_format == abi.XRGB8888 else 2  # bytes a pixel
        dumb = abi.CreateDumb(width=width, height=height, bpp=8 * size)
        self.node.ioctl(abi.CREATE_DUMB, dumb)
        try:
            made = abi.AddFb2(width=width, height=height, pixel_format=pixel_format)
            made.handles[0], made.pitches[0] = dumb.handle, dumb.pitch
            self.node.ioctl(abi.ADDFB2, made)
            where = abi.MapDumb(handle=dumb.handle)
            self.node.ioctl(abi.MAP_DUMB, where)
            memory = self.node.map(where.offset, dumb.size)
        except OSError:
            self.node.ioctl(abi.DESTROY_DUMB, abi.Id(dumb.handle))
            raise
        rows = memory[: height * dumb.pitch].reshape(height, dumb.pitch)
        pixels = rows[:, : width * size].reshape(height, width, size)
        pixels[:] = 0
        return Buffer(made.fb_id, dumb.handle, pixels)

    def destroy(self, buffer: Buffer) -> None:
        """Free a frame buffer; where it is on show, its CRTC goes off."""
        self.node.ioctl(abi.RMFB, abi.Id(buffer.fb))
        self.node.ioctl(abi.DESTROY_DUMB, abi.Id(buffer.handle))

    def flip(self, crtc: int, fb: int) -> None:
        """Show a frame buffer from the next vertical blank on; `flipped` waits for it."""
        self.node.ioctl(abi.PAGE_FLIP, abi.PageFlip(crtc_id=crtc, fb_id=fb, flags=abi.FLIP_EVENT))

    def flipped(self, timeout: float) -> bool:
        """Wait for the end of a page flip, at most `timeout` seconds."""
        events = self.node.read(timeout)
        while len(events) >= 8:
            kind, length = np.frombuffer(events[:8], np.uint32).tolist()
            if kind == abi.FLIP_COMPLETE:
                return True
            events = events[max(8, length) :]
        return False

    def dirty(self, fb: int) -> None:
        """Say that a frame buffer on show was written to; drivers that see that themselves refuse, which is fine."""
        with suppress(OSError):
            self.node.ioctl(abi.DIRTYFB, abi.DirtyFb(fb_id=fb))


Opener = Callable[[str], Node]
