"""What OpenCV's picture decoders print, which is the only place where they report damage."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
JPEG_DAMAGE = re.compile(r"Corrupt JPEG data: (?P<what>.*)|Premature end of JPEG file|Unsupported marker type")
OTHERS = re.compile(
    r"\[ ?(?:WARN|ERROR|INFO|FATAL):|libpng (?:error|warning)|TIFF\w*:|Warning: unknown JFIF|Invalid SOS|OpenJPEG"
)
PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
MOST_PADDING = 64
"""Some cameras fill up the end of a picture."""


@contextmanager
def decoder_words() -> Iterator[list[str]]:
    """Keep decoders' output off the terminal, and return it as lines when the block ends. Other threads' output follows
    it."""
    words: list[str] = []
    try:
        terminal = os.dup(STDERR)
    except OSError:  # there is no standard error
        yield words
        return
    kept = os.memfd_create("decoder")
    os.dup2(kept, STDERR)
    try:
        yield words
    finally:
        os.dup2(terminal, STDERR)
        os.close(terminal)
        words += _sorted_out(kept)
        os.close(kept)


def jpeg_damage(words: list[str]) -> str | None:
    """What a decoder found to be wrong with a JPEG, None where that is nothing."""
    for line in words:
        found = JPEG_DAMAGE.match(line)
        padding = PADDING.match(found["what"] or "") if found else None
        if found and not (padding and int(padding[1]) <= MOST_PADDING):
            return line
    return None


def _sorted_out(kept: int) -> list[str]:
    """The decoders' lines; all others go to where they were meant to."""
    size = os.fstat(kept).st_size
    lines = os.pread(kept, size, 0).decode(errors="replace").splitlines(keepends=True) if size else []
    decoders = [line for line in lines if JPEG_DAMAGE.match(line) or OTHERS.match(line)]
    others = "".join(line for line in lines if line not in decoders)
    if others and sys.__stderr__:
        os.write(STDERR, others.encode(errors="replace"))
    return [line.strip() for line in decoders]
