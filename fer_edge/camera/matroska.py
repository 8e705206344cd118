"""Where the structure of a Matroska or WebM film is damaged: FFmpeg goes on at the next cluster without a word, and
what lay before that is missing.

Elements (RFC 8794, RFC 9559) are walked by their heads alone; of blocks it is read whose they are and when.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
INFO, TIMESTAMP_SCALE = 0x1549A966, 0x2AD7B1
TRACKS, TRACK, TRACK_NUMBER, TRACK_TYPE, VIDEO = 0x1654AE6B, 0xAE, 0xD7, 0x83, 1
TIMESTAMP, SIMPLE_BLOCK, GROUP, BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
VOID, CHECKSUM = 0xEC, 0xBF
TOP = (INFO, TRACKS, CLUSTER, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, VOID, CHECKSUM)
WITHIN = (TIMESTAMP, SIMPLE_BLOCK, GROUP, 0x5854, 0xA7, 0xAB, 0xAF, VOID, CHECKSUM)
EBML_HEAD, CLUSTER_HEAD = EBML.to_bytes(4), CLUSTER.to_bytes(4)
MOST_HEADER_BYTES = 1 << 20
SEARCHED_BYTES = 1 << 20


class Damage(NamedTuple):
    """Between two pictures: the time of the one before, in seconds, and of the one after, None where none is left."""

    begin_s: float
    end_s: float | None


class Element(NamedTuple):
    """Its kind, where its content begins, and where it ends; None: not known, as in what is written live."""

    kind: int
    begin: int
    end: int | None


def matroska_damage(file: BinaryIO, size: int) -> list[Damage]:
    """Where blocks or clusters cannot be read; empty for a whole film and for one that is cut at its end."""
    return _Walk(file, size).damage()


def matroska_end(file: BinaryIO, size: int) -> int:
    """Where a film has to end, as it says itself: one without a length, as written live, behind what its last element
    announces. 0: it is no film."""
    walk = _Walk(file, size)
    segment = walk.segment()
    if segment is None:
        return 0
    if segment.end is None:
        walk.damage()
        return max(size, walk.reach)
    return segment.end


class _Walk:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.reach = 0
        """Where what was found ends, as it says itself."""
        self._scale_s = 1e-3
        self._tracks: dict[int, bool] = {}  # whether each is of pictures
        self._last_s = 0.0
        self._broken = False
        self._found: list[Damage] = []

    def segment(self) -> Element | None:
        """What holds the film."""
        head = self._element(0)
        segment = self._element(head.end) if head and head.kind == EBML and head.end else None
        return segment if segment and segment.kind == SEGMENT else None

    def damage(self) -> list[Damage]:
        """What is missing."""
        if segment := self.segment():
            self._segment(segment.begin, segment.end or self._size)
        if self._broken:
            self._found.append(Damage(self._last_s, None))
        return self._found

    def _segment(self, at: int, end: int) -> None:
        end = min(end, self._size)
        while at < end:
            element = self._element(at)
            if element is None and self._size - at < 12:
                return  # cut within a head
            if element is None or element.kind not in TOP:
                at = self._lost(at)
            elif element.kind == CLUSTER:
                self.reach = max(self.reach, element.end or 0)
                at = self._cluster(element)
            else:
                self._header(element)
                at = element.end or self._lost(at)

    def _header(self, element: Element) -> None:
        if not element.end or element.end - element.begin > MOST_HEADER_BYTES:
            return
        for inner in self._inside(element):
            if element.kind == INFO and inner.kind == TIMESTAMP_SCALE:
                self._scale_s = self._number(inner) / 1e9
            if element.kind == TRACKS and inner.kind == TRACK:
                found = {
                    each.kind: self._number(each)
                    for each in self._inside(inner)
                    if each.kind in (TRACK_NUMBER, TRACK_TYPE)
                }
                self._tracks[found.get(TRACK_NUMBER, 0)] = found.get(TRACK_TYPE) == VIDEO

    def _cluster(self, cluster: Element) -> int:
        """Returns where the next element of the segment begins."""
        at, start, end = cluster.begin, 0, cluster.end or self._size
        while at < min(end, self._size):
            element = self._element(at)
            if element is None and self._size - at < 12:
                return self._size
            if element and not cluster.end and element.kind in TOP and element.kind not in WITHIN:
                return at
            if element is None or element.kind not in WITHIN or not element.end:
                return self._lost(at)
            if element.end > end == self._size and not cluster.end:
                self.reach = max(self.reach, element.end)
                return self._size
            if element.end > end:
                return self._size if end == self._size else self._lost(at)
            if element.end > self._size:
                return self._size  # cut within the element
            if element.kind == TIMESTAMP:
                start = self._number(element)
            elif element.kind in (SIMPLE_BLOCK, GROUP) and not self._block(element, start):
                self._broken = True  # its bounds hold, and so does what follows
            at = element.end
        return end

    def _block(self, element: Element, start: int) -> bool:
        """Whether a block, or a group's, belongs to a track."""
        if element.kind == GROUP:
            blocks = [inner for inner in self._inside(element) if inner.kind == BLOCK]
            return bool(blocks) and self._block(blocks[0]._replace(kind=SIMPLE_BLOCK), start)
        track, length = _vint(self._read(element.begin, 8))
        if track is None or track not in self._tracks:
            return False
        if self._tracks[track]:
            relative = int.from_bytes(self._read(element.begin + length, 2), signed=True)
            self._picture((start + relative) * self._scale_s)
        return True

    def _picture(self, time_s: float) -> None:
        if self._broken:
            self._found.append(Damage(self._last_s, time_s))
            self._broken = False
        self._last_s = time_s

    def _lost(self, at: int) -> int:
        """Nothing makes sense here: returns where the next cluster begins, or the end."""
        self._broken = True
        at += 1
        while at < self._size:
            found = self._read(at, SEARCHED_BYTES).find(CLUSTER_HEAD)
            if found >= 0:
                return at + found
            at += SEARCHED_BYTES - len(CLUSTER_HEAD) + 1
        return self._size

    def _inside(self, element: Element) -> Iterator[Element]:
        at = element.begin
        while element.end and at < element.end:
            inner = self._element(at)
            if inner is None or not inner.end or inner.end > element.end:
                return
            yield inner
            at = inner.end

    def _element(self, at: int) -> Element | None:
        head = self._read(at, 12)
        width = 9 - head[0].bit_length() if head and head[0] else 9
        size, length = _vint(head[width:])
        if width > 4 or not length:
            return None
        begin = at + width + length
        return Element(int.from_bytes(head[:width]), begin, None if size is None else begin + size)

    def _number(self, element: Element) -> int:
        return int.from_bytes(self._read(element.begin, min(8, (element.end or element.begin) - element.begin)))

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


def _vint(data: bytes) -> tuple[int | None, int]:
    """A number of variable length and how many bytes it takes, 0 where it is none; None: all ones, not known."""
    if not data or not data[0]:
        return None, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return None, 0
    value = int.from_bytes(data[:length]) & (1 << 7 * length) - 1
    return (None if value == (1 << 7 * length) - 1 else value), length
