"""Files of arrays (.npz): whole at every moment when written, checked when read."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.runtime.atomic_file import create_beside, sync_folder

DAMAGED = (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What zipfile raises, beside OSError, where a zip is cut off, changed, or packed in a way that it does not know."""


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """The arrays of these names. Raises OSError, or ValueError where the file is damaged, no .npz, or lacks one."""
    try:
        with path.open("rb") as file:  # by path, NumPy would leave a damaged one open
            held = np.load(file)
            if not isinstance(held, np.lib.npyio.NpzFile):
                raise ValueError("expected an .npz file, got a single array")
            return {name: held[name] for name in names}
    except (*DAMAGED, KeyError) as error:
        raise ValueError(str(error)) from None


def read_rows(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arrays whose rows belong together, by name, with the shape of a row of each. Raises OSError or ValueError."""
    arrays = read_arrays(path, shapes)
    count = next(iter(arrays.values())).shape[:1]
    for name, shape in shapes.items():
        if not count or arrays[name].shape != (*count, *shape):
            expected = [*(count or ("N",)), *shape]
            raise ValueError(f"{name}: expected {expected}, got {list(arrays[name].shape)}")
    return arrays


def replace_arrays(path: Path, arrays: Mapping[str, Any], *, mode: int = 0o640, compress: bool = False) -> None:
    """Write arrays to `path` in one step: it has the old content or the new one, whatever happens. What is written
    beside it meanwhile has a name that nobody can have put a link at. `mode`: the file's permissions, less what the
    umask takes. Raises OSError; the old content then stays."""
    descriptor, partial = create_beside(path, mode=mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            (np.savez_compressed if compress else np.savez)(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)
