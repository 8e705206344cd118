"""Whether a model that did not come with fer-edge can be loaded and run at all: tried in a separate process.

The TFLite runtime's native code trusts a model's file: a damaged or crafted one can end the process, and there is no
verifier to ask. What is in the package is trusted by its checksum.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from signal import Signals

from fer_edge.errors import ModelError
from fer_edge.vision.model_card import models_folder

SECONDS = 60.0
TRY = """
import sys
from importlib import import_module
module, sys.path[:] = sys.argv[1], sys.argv[2:]
import numpy
interpreter = import_module(module).Interpreter(model_content=sys.stdin.buffer.read())
interpreter.allocate_tensors()
for each in interpreter.get_input_details():
    interpreter.set_tensor(each["index"], numpy.zeros(each["shape"], each["dtype"]))
interpreter.invoke()
for each in interpreter.get_output_details():
    interpreter.get_tensor(each["index"])
"""


def try_model(content: bytes, path: Path, *, module: str) -> None:
    """Load and run a model once elsewhere, unless it is the package's own.

    Args:
        content: of its file.
        path: where that is.
        module: the runtime's, with the class Interpreter.

    Raises:
        ModelError: it crashes the process, or never ends.

    """
    if path.parent.resolve() != models_folder().resolve() and (end := _end(content, module)):
        raise ModelError(f"{path}: the TFLite runtime {end} on this model: it is damaged or malicious")


@cache
def _end(content: bytes, module: str) -> str:
    """How the runtime crashed; empty where it did not: a refusal is repeated in this process."""
    command = [sys.executable, "-I", "-c", TRY, module, *sys.path]
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"does not finish within {SECONDS:g} s"
    except OSError:  # no process can be started here
        return ""
    return f"crashes ({Signals(-done.returncode).name})" if done.returncode < 0 else ""
