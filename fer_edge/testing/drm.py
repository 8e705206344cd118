"""A display card that enforces the kernel's rules, behind the calls of drm.Node."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import cv2
import numpy as np

from fer_edge.records import Image
from fer_edge.sinks.hdmi import drm_abi as abi
from fer_edge.sinks.hdmi.drm_abi import ModeInfo
from fer_edge.testing.displays import Socket

CONSOLE_FB = 1  # the kernel's own frame buffer, of nobody's file
SIZES = {abi.XRGB8888: 4, abi.RGB565: 2}


@dataclass
class Memory:
    size: int  # bytes
    pixels: Image  # u8[size]


@dataclass
class FrameBuffer:
    width: int
    height: int
    pixel_format: int
    pitch: int
    memory: Memory | None  # None: the console's
    owner: FakeNode | None


@dataclass
class Scanout:
    fb: int = 0
    mode: ModeInfo | None = None


@dataclass
class FakeCard:
    """What all who open it share. `root`: the callers may take master from nobody."""

    sockets: list[Socket] = field(default_factory=lambda: [Socket(40)])
    crtcs: tuple[int, ...] = (50,)
    formats: Sequence[int] = (abi.XRGB8888, abi.RGB565)
    renders_only: bool = False
    can_flip: bool = True
    answers_flips: bool = True
    root: bool = False

    def __post_init__(self) -> None:
        self.lock = RLock()
        self.nodes: list[FakeNode] = []
        self.master: FakeNode | None = None
        self.fbs: dict[int, FrameBuffer] = {CONSOLE_FB: FrameBuffer(1920, 1080, abi.XRGB8888, 7680, None, None)}
        self.scanouts = {crtc: Scanout() for crtc in self.crtcs}
        self.flips = self.set_modes = self.dirty = 0
        self.torn = False  # somebody wrote to a buffer on show
        self.last_id = 200
        self.console()

    def open(self, _path: str = "") -> FakeNode:
        with self.lock:
            node = FakeNode(self)
            self.nodes.append(node)
            if self.master is None and not self.renders_only:
                self.master, node.was_master = node, True
            return node

    def plug(self, plugged: bool, *, socket: int = 0) -> None:
        """Plug a display in or out; the kernel hears of it at once, as on a Pi."""
        with self.lock:
            self.sockets[socket].plugged = self.sockets[socket].known = plugged

    def console(self) -> None:
        """What the kernel does when nobody has the card open any more."""
        for socket in self.sockets:
            if socket.plugged and socket.modes:
                crtc = next(iter(self.scanouts))
                socket.crtc = crtc
                self.scanouts[crtc] = Scanout(CONSOLE_FB, socket.modes[0])

    def shows_console(self) -> bool:
        return any(scanout.fb == CONSOLE_FB for scanout in self.scanouts.values())

    def picture(self, crtc: int = 50) -> Image:
        """What the display shows, u8[H,W,3] BGR."""
        with self.lock:
            scanout = self.scanouts[crtc]
            fb = self.fbs[scanout.fb]
            assert fb.memory is not None, "the console is shown"
            size = SIZES[fb.pixel_format]
            rows = fb.memory.pixels[: fb.height * fb.pitch].reshape(fb.height, fb.pitch)
            pixels = rows[:, : fb.width * size].reshape(fb.height, fb.width, size).copy()
        code = cv2.COLOR_BGRA2BGR if size == 4 else cv2.COLOR_BGR5652BGR
        return np.asarray(cv2.cvtColor(pixels, code), np.uint8)

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id


class FakeNode:
    """An open file of a card."""

    def __init__(self, card: FakeCard) -> None:
        self.card = card
        self.was_master = self.closed = False
        self.memories: dict[int, Memory] = {}
        self.pending: tuple[int, int] | None = None  # crtc, fb
        self.mark: tuple[int, int] | None = None  # the buffer on show, and a sum over it

    def ioctl(self, request: int, argument: ctypes.Structure | None = None) -> None:
        with self.card.lock:
            assert not self.closed, "used after it was closed"
            if argument is not None:
                assert request >> 16 & 0x3FFF == ctypes.sizeof(argument), (
                    "the size in the number is not the structure's"
                )
            calls: dict[int, Callable[..., None]] = {
                abi.GET_CAP: self._capability,
                abi.SET_MASTER: self._set_master,
                abi.GETRESOURCES: self._resources,
                abi.GETCONNECTOR: self._connector,
                abi.GETENCODER: self._encoder,
                abi.GETCRTC: self._get_crtc,
                abi.SETCRTC: self._set_crtc,
                abi.CREATE_DUMB: self._create,
                abi.MAP_DUMB: self._map,
                abi.DESTROY_DUMB: self._destroy,
                abi.ADDFB2: self._add,
                abi.RMFB: self._remove,
                abi.PAGE_FLIP: self._flip,
                abi.DIRTYFB: self._dirty,
            }
            calls[request](*(() if argument is None else (argument,)))

    def map(self, offset: int, size: int) -> Image:
        memory = self.memories.get(offset >> 12)
        _refuse(memory is None or size > memory.size, errno.EINVAL)
        assert memory
        return memory.pixels

    def read(self, timeout: float) -> bytes:
        with self.card.lock:
            if self.pending is None or not self.card.answers_flips:
                return b""
            crtc, fb = self.pending
            self.pending = None
            self._compare()  # until now the buffer before was on show
            self._remember(fb)
            return np.array([abi.FLIP_COMPLETE, 32, 0, 0, 0, 0, 0, crtc], np.uint32).tobytes()

    def close(self) -> None:
        with self.card.lock:
            assert not self.closed, "closed twice"
            for number in [number for number, fb in self.card.fbs.items() if fb.owner is self]:
                self._drop(number)
            self.memories.clear()
            self.closed = True
            self.card.nodes.remove(self)
            if self.card.master is self:
                self.card.master = None
            if not self.card.nodes:
                self.card.console()

    def _capability(self, asked: abi.Capability) -> None:
        _refuse(asked.capability != abi.CAP_DUMB_BUFFER, errno.EINVAL)
        asked.value = not self.card.renders_only

    def _set_master(self) -> None:
        _refuse(not (self.was_master or self.card.root), errno.EACCES)
        _refuse(self.card.master not in (None, self), errno.EBUSY)
        self.card.master, self.was_master = self, True

    def _resources(self, asked: abi.CardRes) -> None:
        _refuse(self.card.renders_only, errno.EOPNOTSUPP)
        for name, ids in (("crtc", list(self.card.crtcs)), ("connector", [each.id for each in self.card.sockets])):
            asked_for = getattr(asked, f"count_{name}s")
            setattr(asked, f"count_{name}s", len(ids))
            if asked_for >= len(ids):
                _write(getattr(asked, f"{name}_id_ptr"), (abi.U32 * len(ids))(*ids))

    def _connector(self, asked: abi.GetConnector) -> None:
        socket = self._socket(asked.connector_id)
        if asked.count_modes == 0 and self.card.master is self:
            socket.known = socket.plugged  # a forced look
        modes = socket.modes if socket.known else ()
        room, asked.count_modes = asked.count_modes, len(modes)
        if room >= len(modes) > 0:
            _write(asked.modes_ptr, (ModeInfo * len(modes))(*modes))
        encoders, asked.count_encoders = asked.count_encoders, 1
        if encoders:
            _write(asked.encoders_ptr, (abi.U32 * 1)(socket.encoder))
        asked.connector_type, asked.connector_type_id = socket.kind, socket.number
        asked.connection = abi.CONNECTED if socket.known else 2
        asked.encoder_id = socket.encoder if socket.crtc else 0

    def _socket(self, number: int) -> Socket:
        found = [socket for socket in self.card.sockets if number in (socket.id, socket.encoder)]
        _refuse(not found, errno.ENOENT)
        return found[0]

    def _encoder(self, asked: abi.GetEncoder) -> None:
        socket = self._socket(asked.encoder_id)
        asked.crtc_id, asked.possible_crtcs = socket.crtc, socket.crtcs

    def _get_crtc(self, asked: abi.ModeCrtc) -> None:
        _refuse(asked.crtc_id not in self.card.scanouts, errno.ENOENT)
        scanout = self.card.scanouts[asked.crtc_id]
        asked.fb_id, asked.mode_valid = scanout.fb, scanout.mode is not None
        asked.mode = scanout.mode or ModeInfo()

    def _set_crtc(self, asked: abi.ModeCrtc) -> None:
        _refuse(self.card.master is not self, errno.EACCES)
        _refuse(asked.crtc_id not in self.card.scanouts, errno.ENOENT)
        ids = list((abi.U32 * asked.count_connectors).from_address(asked.set_connectors_ptr))
        sockets = [self._socket(number) for number in ids]
        if asked.mode_valid:
            self._check_mode(asked, sockets)
        else:
            _refuse(bool(ids), errno.EINVAL)
        for socket in self.card.sockets:
            if socket.crtc == asked.crtc_id or socket in sockets:
                socket.crtc = asked.crtc_id if socket in sockets else 0
        copied = ModeInfo.from_buffer_copy(asked.mode) if asked.mode_valid else None
        self.card.scanouts[asked.crtc_id] = Scanout(asked.fb_id if asked.mode_valid else 0, copied)
        self.card.set_modes += 1
        self._remember(asked.fb_id)

    def _check_mode(self, asked: abi.ModeCrtc, sockets: list[Socket]) -> None:
        _refuse(asked.fb_id not in self.card.fbs, errno.ENOENT)
        _refuse(not sockets, errno.EINVAL)
        wanted = bytes(asked.mode)
        bit = 1 << self.card.crtcs.index(asked.crtc_id)
        for socket in sockets:
            _refuse(not socket.crtcs & bit or wanted not in map(bytes, socket.modes), errno.EINVAL)
        fb = self.card.fbs[asked.fb_id]
        _refuse(fb.width < asked.x + asked.mode.hdisplay or fb.height < asked.y + asked.mode.vdisplay, errno.ENOSPC)

    def _create(self, asked: abi.CreateDumb) -> None:
        _refuse(self.card.renders_only, errno.ENOSYS)
        _refuse(not (asked.width and asked.height) or asked.bpp not in (16, 32), errno.EINVAL)
        asked.pitch = -(-asked.width * asked.bpp // 8 // 64) * 64  # rows begin at multiples of 64 bytes
        asked.size, asked.handle = asked.pitch * asked.height, self.card.next_id()
        # memory is not black to begin with
        self.memories[asked.handle] = Memory(asked.size, np.full(asked.size, 77, np.uint8))

    def _map(self, asked: abi.MapDumb) -> None:
        _refuse(asked.handle not in self.memories, errno.ENOENT)
        asked.offset = asked.handle << 12

    def _destroy(self, asked: abi.Id) -> None:
        _refuse(asked.id not in self.memories, errno.EINVAL)
        del self.memories[asked.id]

    def _add(self, asked: abi.AddFb2) -> None:
        _refuse(asked.pixel_format not in self.card.formats, errno.EINVAL)
        memory = self.memories.get(asked.handles[0])
        _refuse(memory is None, errno.ENOENT)
        assert memory
        _refuse(asked.pitches[0] < asked.width * SIZES[asked.pixel_format], errno.EINVAL)
        _refuse(asked.pitches[0] * asked.height > memory.size, errno.EINVAL)
        asked.fb_id = self.card.next_id()
        self.card.fbs[asked.fb_id] = FrameBuffer(
            asked.width, asked.height, asked.pixel_format, asked.pitches[0], memory, self
        )

    def _remove(self, asked: abi.Id) -> None:
        fb = self.card.fbs.get(asked.id)
        _refuse(fb is None or fb.owner is not self, errno.ENOENT)
        self._drop(asked.id)

    def _drop(self, number: int) -> None:
        """A frame buffer that goes takes what shows it with it."""
        del self.card.fbs[number]
        for crtc, scanout in self.card.scanouts.items():
            if scanout.fb == number:
                self.card.scanouts[crtc] = Scanout()
                for socket in self.card.sockets:
                    socket.crtc = 0 if socket.crtc == crtc else socket.crtc

    def _flip(self, asked: abi.PageFlip) -> None:
        _refuse(self.card.master is not self, errno.EACCES)
        _refuse(not self.card.can_flip, errno.EINVAL)
        _refuse(asked.fb_id not in self.card.fbs, errno.ENOENT)
        _refuse(self.pending is not None or not self.card.scanouts[asked.crtc_id].fb, errno.EBUSY)
        assert asked.flags == abi.FLIP_EVENT
        self._compare()
        self.pending = asked.crtc_id, asked.fb_id
        self.card.flips += 1
        if self.card.answers_flips:
            self.card.scanouts[asked.crtc_id].fb = asked.fb_id

    def _dirty(self, asked: abi.DirtyFb) -> None:
        _refuse(self.card.master is not self, errno.EACCES)
        self.card.dirty += 1
        _refuse(self.card.can_flip, errno.ENOSYS)

    def _remember(self, fb: int) -> None:
        if (shown := self.card.fbs.get(fb)) and shown.memory:
            self.mark = fb, int(shown.memory.pixels.sum())

    def _compare(self) -> None:
        """Whether what is on show is what it was when it came there."""
        if self.mark and (shown := self.card.fbs.get(self.mark[0])) and shown.memory:
            self.card.torn |= int(shown.memory.pixels.sum()) != self.mark[1]


def _refuse(refused: bool, number: int) -> None:
    if refused:
        raise OSError(number, os.strerror(number))


def _write(address: int, values: ctypes.Array[Any]) -> None:
    ctypes.memmove(address, values, ctypes.sizeof(values))
