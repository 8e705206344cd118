"""Sockets of a fake display card, and what is plugged into them."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.sinks.hdmi import drm_abi as abi
from fer_edge.sinks.hdmi.drm_abi import ModeInfo


def mode(width: int, height: int, hz: int = 60, *, preferred: bool = False, interlaced: bool = False) -> ModeInfo:
    return ModeInfo(
        hdisplay=width,
        vdisplay=height,
        vrefresh=hz,
        type=abi.PREFERRED if preferred else 0,
        flags=abi.INTERLACED if interlaced else 0,
    )


FULL_HD = (mode(1920, 1080, preferred=True), mode(1920, 1080, 50), mode(1280, 720), mode(640, 480, 75), mode(640, 480))


@dataclass
class Socket:
    """A connector with an encoder of its own."""

    id: int
    kind: int = 11  # HDMI-A
    number: int = 1
    plugged: bool = True
    modes: tuple[ModeInfo, ...] = FULL_HD
    crtcs: int = 1  # bits of those that can feed it
    crtc: int = 0  # the one that does
    known: bool = True  # what the kernel saw last

    @property
    def encoder(self) -> int:
        return self.id + 100
