"""Small files with a checksum as their last line: content that a bad card has changed is detected."""

from __future__ import annotations

import zlib

MARK = b'\n{"crc32": "'
TRAILER = MARK + b'%08x"}\n'


def seal(content: bytes) -> bytes:
    """The content with its checksum behind it."""
    return content + TRAILER % zlib.crc32(content)


def unseal(data: bytes, *, needed: bool = False) -> bytes:
    """The content of what `seal` made. Earlier versions wrote no checksum: without one it is taken as it is, unless one
    is `needed`.

    Raises:
        ValueError: the content is not what was written.

    """
    content, mark, _ = data.rpartition(MARK)
    if not mark and not needed:
        return data
    if data != seal(content):
        raise ValueError("its checksum does not match its content")
    return content
