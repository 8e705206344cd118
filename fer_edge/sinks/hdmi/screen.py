"""A display without a desktop: finds one, takes it over, shows pictures on it, releases it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from fer_edge.config import Hdmi
from fer_edge.drawing.painter import fitted
from fer_edge.errors import SinkError
from fer_edge.records import Image
from fer_edge.sinks.hdmi.drm import Buffer, Connector, DisplayCard, KernelNode, Opener
from fer_edge.sinks.hdmi.drm_abi import INTERLACED, PREFERRED, RGB565, XRGB8888, ModeCrtc, ModeInfo

FOLDER = Path("/dev/dri")
LARGEST = 1920 * 1080  # pixels of the largest mode chosen by default: more costs time and shows no more
FLIP_SECONDS = 1.0  # a display shows a picture within a sixtieth of that

FORMATS = ((XRGB8888, cv2.COLOR_BGR2BGRA), (RGB565, cv2.COLOR_BGR2BGR565))  # the first that the card takes
UNABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # drivers without page flips say one of these


@dataclass(frozen=True, slots=True)
class Found:
    """A connected display on an open card."""

    path: str
    card: DisplayCard
    connector: Connector
    mode: ModeInfo

    def __str__(self) -> str:
        return f"{self.connector.name} of {self.path}, {self.mode}"


def find(settings: Hdmi, *, folder: Path = FOLDER, opener: Opener = KernelNode) -> Found:
    """The first connected display that fits the configuration; its card is left open.

    Raises:
        SinkError: there is none, in words.

    """
    paths = [settings.device] if settings.device else sorted(map(str, folder.glob("card*")))
    if not paths:
        raise SinkError(f"no display device in {folder}; on a Raspberry Pi, config.txt needs dtoverlay=vc4-kms-v3d")
    seen: list[str] = []
    for path in paths:
        found = _look(path, settings, opener)
        if isinstance(found, Found):
            return found
        seen.append(f"{path}: {found}")
    wanted = f" (hdmi.connector: {settings.connector})" if settings.connector else ""
    raise SinkError(f"no display is connected{wanted}: {'; '.join(seen)}")


def _look(path: str, settings: Hdmi, opener: Opener) -> Found | str:
    """The connected display of a card, or why there is none: then the card is closed again."""
    try:
        card = DisplayCard(opener(path))
    except OSError as error:
        return f"{error.strerror}{'; this user must be in group video' if error.errno == errno.EACCES else ''}"
    try:
        connectors = [card.connector(number) for number in card.resources()[1]] if card.has_dumb_buffers() else []
    except OSError as error:
        card.node.close()
        return str(error.strerror)
    for each in connectors:
        if each.connected and each.modes and settings.connector in ("", each.name):
            return Found(path, card, each, choose(each.modes, settings.mode))
    card.node.close()
    return ", ".join(f"{each.name} {_state(each)}" for each in connectors) or "has no outputs"


def _state(connector: Connector) -> str:
    if not connector.connected:
        return "disconnected"
    return "connected" if connector.modes else "connected, without modes"


def choose(modes: Sequence[ModeInfo], wanted: str) -> ModeInfo:
    """The mode that is wanted ("1280x720", "1920x1080@60"), where it is offered; else what the display prefers, or if
    that is larger than LARGEST, its largest one that is not."""
    usable = [mode for mode in modes if not mode.flags & INTERLACED] or list(modes)
    asked = [mode for mode in usable if wanted in (str(mode), str(mode).split("@")[0])]
    pool = asked or [mode for mode in usable if mode.hdisplay * mode.vdisplay <= LARGEST] or usable
    return max(pool, key=lambda m: (bool(m.type & PREFERRED), m.hdisplay * m.vdisplay, -abs(m.vrefresh - 60)))


class DisplayScreen:
    """A display that is taken over. For one thread."""

    def __init__(self, found: Found) -> None:
        """Take it over, black; the card of `found` is ours from now on.

        Raises:
            SinkError: another program has it, or the card refuses, in words.

        """
        self.found, self.size = found, (found.mode.hdisplay, found.mode.vdisplay)
        self._card, self._connectors = found.card, [found.connector.id]
        self._buffers: list[Buffer] = []
        self._drawn = [(0, 0, 0, 0)] * 2  # where in each buffer the picture is
        self._front, self._flips, self._pending = 0, True, False
        self._before: tuple[ModeCrtc, list[int]] | None = None
        try:
            if not self._card.become_master():
                raise SinkError(f"{found}: {_in_use()}")
            self._crtc = _crtc_for(self._card, found.connector)
            self._before = self._card.crtc(self._crtc), _fed_by(self._card, self._crtc)
            self._convert = self._begin()
        except OSError as error:
            self.close()
            if isinstance(error, SinkError):
                raise
            raise SinkError(f"{found}: cannot be used: {error.strerror}") from None

    def _begin(self) -> int:
        """Make the buffers and set the mode, in the first format that works; OpenCV's code for the way there."""
        for pixel_format, convert in FORMATS:
            try:
                for _ in range(2):
                    self._buffers.append(self._card.create(*self.size, pixel_format=pixel_format))
                self._set_mode(self._buffers[0])
            except OSError:
                self._free()
                if pixel_format == FORMATS[-1][0]:
                    raise
            else:
                return convert
        raise AssertionError("there is a last format")

    def is_connected(self) -> bool:
        """Whether the display is still plugged in. Raises OSError where the card is gone."""
        return self._card.connector(self._connectors[0], look=False).connected

    def show(self, picture: Image) -> None:
        """Show a picture u8[H,W,3] BGR, no larger than `size`, in the middle, from the next vertical blank on.

        Raises:
            SinkError: the display does not answer any more.
            OSError: the card refuses.

        """
        self.settle()
        back = 1 - self._front
        self._draw(back, picture)
        self._present(self._buffers[back])
        self._front = back

    def close(self) -> None:
        """Release the display as it was. Never raises."""
        for step in (self.settle, self._restore, self._free, self._card.node.close):
            with contextlib.suppress(OSError):  # the card may be gone
                step()

    def settle(self) -> None:
        """Wait until the last page flip is done: only then is the other buffer free. Raises SinkError."""
        if self._pending:
            self._pending = False
            if not self._card.flipped(FLIP_SECONDS):
                raise SinkError(f"{self.found}: has not shown a picture for {FLIP_SECONDS:g} s")

    def _draw(self, number: int, picture: Image) -> None:
        """Write a picture into a buffer, straight to where the display reads it: memory that is slow to read."""
        pixels, place = self._buffers[number].pixels, fitted(picture.shape[1], picture.shape[0], self.size)
        if place != self._drawn[number]:
            pixels[:] = 0  # around the picture
            self._drawn[number] = place
        left, top, right, bottom = place
        cv2.cvtColor(picture, self._convert, dst=pixels[top:bottom, left:right])

    def _present(self, buffer: Buffer) -> None:
        if self._flips:
            try:
                self._card.flip(self._crtc, buffer.fb)
            except OSError as error:
                if error.errno not in UNABLE:
                    raise
                self._flips = False
            else:
                self._pending = True
                return
        self._set_mode(buffer)

    def _set_mode(self, buffer: Buffer) -> None:
        self._card.set_crtc(self._crtc, connectors=self._connectors, fb=buffer.fb, mode=self.found.mode)
        self._card.dirty(buffer.fb)

    def _restore(self) -> None:
        """What was shown before, as a rule the console."""
        if self._before and self._buffers:
            crtc, connectors = self._before
            if crtc.mode_valid and crtc.fb_id:
                self._card.set_crtc(
                    self._crtc, connectors=connectors, fb=crtc.fb_id, mode=crtc.mode, x=crtc.x, y=crtc.y
                )
            else:
                self._card.set_crtc(self._crtc)

    def _free(self) -> None:
        while self._buffers:
            buffer = self._buffers.pop()
            with contextlib.suppress(OSError):
                self._card.destroy(buffer)


def _crtc_for(card: DisplayCard, connector: Connector) -> int:
    """The CRTC that feeds a connector, else a free one that can. Raises SinkError."""
    encoders = [card.encoder(number) for number in connector.encoders]
    for encoder in encoders:
        if encoder.encoder_id == connector.encoder and encoder.crtc_id:
            return int(encoder.crtc_id)
    crtcs, _ = card.resources()
    for encoder in encoders:
        for bit, crtc in enumerate(crtcs):
            if encoder.possible_crtcs >> bit & 1 and not _fed_by(card, crtc):
                return crtc
    raise SinkError(f"{connector.name}: the card has no free CRTC for it; unplug another display")


def _fed_by(card: DisplayCard, crtc: int) -> list[int]:
    """The connectors that a CRTC feeds."""
    _, numbers = card.resources()
    connectors = [card.connector(number, look=False) for number in numbers]
    return [each.id for each in connectors if each.encoder and card.encoder(each.encoder).crtc_id == crtc]


def _in_use() -> str:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return "a desktop session is using the display; use the browser preview (section web) instead"
    return "another program is using the display (a desktop, a splash screen); it is taken over when that ends"
