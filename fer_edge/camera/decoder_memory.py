"""What decoding a large film takes, as a decoder holds the pictures that others refer to, and whether there is room."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av

from fer_edge.camera.webp_film import TooLarge

LARGE_PX = 3840 * 2160  # smaller films take less than 100 MB whatever they are
MB = 1e6
PICTURES = {"h264": (3, 6), "hevc": (5, 9), "vp9": (10, 10), "mpeg4": (3, 4), "mpeg2video": (3, 4), "mjpeg": (2, 2)}
"""Held by a decoder, measured with 8K films (benchmarks/films.py): without B-frames and with them."""
OTHERS = (10, 10)
H264_BYTES_PER_PX = 0.6  # motion vectors and kinds of blocks, beside each picture
MEMINFO, CGROUP, CGROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def check_memory(context: Any, limit_mb: int | None) -> None:
    """Raises TooLarge where a film of 4K or more takes more than is allowed, or free where `limit_mb` is None."""
    if context.width * context.height < LARGE_PX:
        return
    needed, free = needed_mb(context), free_mb() if limit_mb is None else limit_mb
    if free is None or needed <= free:
        return
    room = f"{free} MB are free" if limit_mb is None else f"camera.decoder_memory_mb allows {limit_mb}"
    raise TooLarge(
        f"has pictures of {context.width} x {context.height} px in {context.name}: decoding takes about {needed} MB, "
        f"{room}; make it smaller, such as with ffmpeg -i FILM -vf scale=1920:-2 SMALLER.mp4"
    )


def needed_mb(context: Any) -> int:
    """An estimate, from above."""
    pixels: int = context.width * context.height
    bits = av.VideoFormat(context.pix_fmt, 64, 64).padded_bits_per_pixel if context.pix_fmt else 24
    each = bits / 8 + (H264_BYTES_PER_PX if context.name == "h264" else 0.0)
    return round(PICTURES.get(context.name, OTHERS)[bool(context.has_b_frames)] * pixels * each / MB)


def free_mb() -> int | None:
    """What this process may still take without anything being ended, None where that is not known."""
    found = [each for each in (_available_mb(), _left_in_group_mb()) if each is not None]
    return min(found, default=None)


def _available_mb() -> int | None:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", MEMINFO.read_text())
    except OSError:
        return None
    return round(int(found[1]) * 1024 / MB) if found else None


def _left_in_group_mb() -> int | None:
    """Under `MemoryMax` of its service, or in a container."""
    try:
        group = CGROUPS / CGROUP.read_text().rpartition("::/")[2].strip()
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # "max", or the first version of control groups
        return None
    return max(0, round((most - used) / MB))
