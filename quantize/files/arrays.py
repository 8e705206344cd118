"""Files of arrays (.npz) that are whole at every moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.runtime.atomic_file import create_beside, sync_folder


def replace_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to `path` in one step: it has the old content or the new one, whatever happens. What is written
    beside it meanwhile has a name that nobody can have put a link at. Raises OSError; the old content then stays."""
    descriptor, partial = create_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)
