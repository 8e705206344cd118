"""What the kernel's drm.h and drm_mode.h say of displays: the legacy calls, which every driver has."""

from __future__ import annotations

import ctypes

U16, U32, U64 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class ModeInfo(ctypes.Structure):
    """A video mode."""

    _fields_ = (
        *(("clock", U32), ("hdisplay", U16), ("hsync_start", U16), ("hsync_end", U16), ("htotal", U16), ("hskew", U16)),
        *(("vdisplay", U16), ("vsync_start", U16), ("vsync_end", U16), ("vtotal", U16), ("vscan", U16)),
        *(("vrefresh", U32), ("flags", U32), ("type", U32), ("name", ctypes.c_char * 32)),
    )

    def __str__(self) -> str:
        return f"{self.hdisplay}x{self.vdisplay}@{self.vrefresh}"


class CardRes(ctypes.Structure):
    """GETRESOURCES: what a card has."""

    _fields_ = (
        *(("fb_id_ptr", U64), ("crtc_id_ptr", U64), ("connector_id_ptr", U64), ("encoder_id_ptr", U64)),
        *(("count_fbs", U32), ("count_crtcs", U32), ("count_connectors", U32), ("count_encoders", U32)),
        *(("min_width", U32), ("max_width", U32), ("min_height", U32), ("max_height", U32)),
    )


class GetConnector(ctypes.Structure):
    """GETCONNECTOR: a socket and what is plugged into it."""

    _fields_ = (
        *(("encoders_ptr", U64), ("modes_ptr", U64), ("props_ptr", U64), ("prop_values_ptr", U64)),
        *(("count_modes", U32), ("count_props", U32), ("count_encoders", U32), ("encoder_id", U32)),
        *(("connector_id", U32), ("connector_type", U32), ("connector_type_id", U32), ("connection", U32)),
        *(("mm_width", U32), ("mm_height", U32), ("subpixel", U32), ("pad", U32)),
    )


class GetEncoder(ctypes.Structure):
    """GETENCODER: what feeds a connector from a CRTC."""

    _fields_ = (
        *(("encoder_id", U32), ("encoder_type", U32), ("crtc_id", U32)),
        *(("possible_crtcs", U32), ("possible_clones", U32)),
    )


class ModeCrtc(ctypes.Structure):
    """GETCRTC and SETCRTC: what scans a frame buffer out, in which mode, to which connectors."""

    _fields_ = (
        *(("set_connectors_ptr", U64), ("count_connectors", U32), ("crtc_id", U32), ("fb_id", U32)),
        *(("x", U32), ("y", U32), ("gamma_size", U32), ("mode_valid", U32), ("mode", ModeInfo)),
    )


class CreateDumb(ctypes.Structure):
    """CREATE_DUMB: memory that a display can show."""

    _fields_ = (
        *(("height", U32), ("width", U32), ("bpp", U32), ("flags", U32)),
        *(("handle", U32), ("pitch", U32), ("size", U64)),
    )


class MapDumb(ctypes.Structure):
    """MAP_DUMB: where mmap finds it."""

    _fields_ = (("handle", U32), ("pad", U32), ("offset", U64))


class Id(ctypes.Structure):
    """DESTROY_DUMB and RMFB: the number of what goes."""

    _fields_ = (("id", U32),)


class AddFb2(ctypes.Structure):
    """ADDFB2: makes a frame buffer of memory."""

    _fields_ = (
        *(("fb_id", U32), ("width", U32), ("height", U32), ("pixel_format", U32), ("flags", U32)),
        *(("handles", U32 * 4), ("pitches", U32 * 4), ("offsets", U32 * 4), ("modifier", U64 * 4)),
    )


class PageFlip(ctypes.Structure):
    """PAGE_FLIP: shows another frame buffer from the next vertical blank on."""

    _fields_ = (("crtc_id", U32), ("fb_id", U32), ("flags", U32), ("reserved", U32), ("user_data", U64))


class DirtyFb(ctypes.Structure):
    """DIRTYFB: reports that a frame buffer on show was written to."""

    _fields_ = (("fb_id", U32), ("flags", U32), ("color", U32), ("num_clips", U32), ("clips_ptr", U64))


class Capability(ctypes.Structure):
    """GET_CAP."""

    _fields_ = (("capability", U64), ("value", U64))


def _request(number: int, kind: type[ctypes.Structure] | None = None) -> int:
    """An ioctl's number: reads and writes `kind`, or has no argument."""
    direction = 3 << 30 | ctypes.sizeof(kind) << 16 if kind else 0
    return direction | ord("d") << 8 | number


GET_CAP = _request(0x0C, Capability)
SET_MASTER = _request(0x1E)
GETRESOURCES = _request(0xA0, CardRes)
GETCRTC, SETCRTC = _request(0xA1, ModeCrtc), _request(0xA2, ModeCrtc)
GETENCODER, GETCONNECTOR = _request(0xA6, GetEncoder), _request(0xA7, GetConnector)
RMFB, ADDFB2 = _request(0xAF, Id), _request(0xB8, AddFb2)
PAGE_FLIP, DIRTYFB = _request(0xB0, PageFlip), _request(0xB1, DirtyFb)
CREATE_DUMB, MAP_DUMB, DESTROY_DUMB = _request(0xB2, CreateDumb), _request(0xB3, MapDumb), _request(0xB4, Id)

CAP_DUMB_BUFFER = 1
CONNECTED = 1
PREFERRED = 1 << 3  # in ModeInfo.type
INTERLACED = 1 << 4  # in ModeInfo.flags
FLIP_EVENT = 1
FLIP_COMPLETE = 2  # type of the event that reports it
XRGB8888, RGB565 = (int.from_bytes(code, "little") for code in (b"XR24", b"RG16"))

CONNECTOR_TYPES = (
    *("Unknown", "VGA", "DVI-I", "DVI-D", "DVI-A", "Composite", "SVIDEO", "LVDS", "Component", "DIN", "DP", "HDMI-A"),
    *("HDMI-B", "TV", "eDP", "Virtual", "DSI", "DPI", "Writeback", "SPI", "USB"),
)
