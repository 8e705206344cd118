"""A run's progress, in a small file beside its outputs, from which `--resume` continues.

It is written in one step, after the outputs are on the disk, at the end of a section of frames; so whatever ends the
run, a power cut too, the outputs hold at least what it says, and what they hold beyond that is cut off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fer_edge.commands.analyze.tally import Tally
from fer_edge.errors import SinkError
from fer_edge.pipeline import PipelineSnapshot
from fer_edge.runtime.atomic_file import replace_file
from fer_edge.runtime.sealed_file import seal, unseal

SUFFIX = ".resume"
LEAST_WORK = 20  # times as long as a checkpoint takes is what lies between two


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A run's sources and options. Another run cannot resume it."""

    software: str
    configuration: str
    models: str
    sources: str
    options: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A place in the run, and all that was known there."""

    origin: Origin
    source: int  # index of the one that is being read
    frame: int  # of its frames, so many are done
    now_ns: int  # its time
    failed: int  # sources before it that could not be read to their end
    tally: Tally
    memory: PipelineSnapshot
    outputs: dict[str, bytes]  # see `Outputs.kept`


def pack(value: object) -> bytes:
    """Records and arrays as bytes."""
    return msgspec.msgpack.encode(value, enc_hook=_from_array)


def unpack(data: bytes, kind: Any) -> Any:
    """What `pack` made of a `kind`. Raises msgspec.MsgspecError."""
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_to_array)


def _from_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(type(value))


def _to_array(kind: Any, value: Any) -> object:
    origin = getattr(kind, "__origin__", None)
    if origin is np.ndarray:
        dtype, shape, data = value
        return np.frombuffer(data, dtype).reshape(shape)
    return origin(value) if origin else kind(value)  # a Counter


class CheckpointWriter:
    """Writes checkpoints, as often as asked, but never so often that they take much of the time."""

    def __init__(self, path: Path | None, *, every_seconds: float) -> None:
        """`path`: None where nothing can be resumed."""
        self.path = path
        self._every_seconds = every_seconds
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time for one."""
        return self.path is not None and time.monotonic() >= self._next

    def keep(self, checkpoint: Checkpoint, *, begun: float | None) -> None:
        """Write one. `begun`: when its making began, by time.monotonic(). Raises SinkError."""
        assert self.path is not None
        try:
            replace_file(self.path, seal(pack(checkpoint)))
        except OSError as error:
            raise SinkError(f"{self.path}: cannot write: {error.strerror}; free space there") from None
        now = time.monotonic()
        self._next = now + max(self._every_seconds, LEAST_WORK * (now - (begun or now)))

    def forget(self) -> None:
        """The run is complete."""
        if self.path:
            self.path.unlink(missing_ok=True)


def load(path: Path, origin: Origin) -> Checkpoint:
    """The checkpoint of an earlier run.

    Raises:
        SinkError: there is none, it cannot be read, or it is of a run of something else.

    """
    try:
        kept: Checkpoint = unpack(unseal(path.read_bytes(), needed=True), Checkpoint)
    except FileNotFoundError:
        raise SinkError(f"{path}: there is nothing to resume: no run was interrupted; leave out --resume") from None
    except (OSError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise SinkError(f"{path}: cannot be read ({error}); start over without --resume") from None
    other = [name for name in Origin.__struct_fields__ if getattr(kept.origin, name) != getattr(origin, name)]
    if other:
        raise SinkError(f"{path}: the run was begun with other {' and '.join(other)}; start over without --resume")
    return kept
