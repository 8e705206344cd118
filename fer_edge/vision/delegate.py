"""External delegates: shared libraries with which a TFLite runtime runs a model's nodes on an accelerator.

Such a library has two functions, `tflite_plugin_create_delegate` and `tflite_plugin_destroy_delegate`. Both runtimes
load it by their `load_delegate`, which `tflite.py` hands in: nothing here imports a runtime. The object that comes back
destroys its delegate when it ends itself, which must be after its interpreter's end: `keep`.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fer_edge.errors import ModelError

FUNCTIONS = "tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"


@dataclass(frozen=True, slots=True)
class Delegate:
    """What to load for one interpreter."""

    library: str  # a name that the dynamic linker finds, or a path
    options: Mapping[str, str | int | float] = field(default_factory=dict)  # the library gets them as text

    def __str__(self) -> str:
        return f"models.delegate {self.library!r}"


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a model a delegate computes."""

    library: str
    taken: int  # of the model's nodes
    nodes: int  # in the model

    def __str__(self) -> str:
        return f"{self.taken} of {self.nodes}"


def load(delegate: Delegate, load_delegate: Callable[[str, dict[str, str]], Any]) -> Any:
    """The runtime's object for a delegate.

    Raises:
        ModelError: there is no such library, it is not a delegate, or it refuses (no device, an unknown option).

    """
    _check(delegate)
    try:
        return load_delegate(delegate.library, {key: str(value) for key, value in delegate.options.items()})
    except ValueError as error:  # "Failed to load delegate from LIBRARY", and below that what the library reports
        reason = "; ".join(str(error).splitlines()[1:]) or "no reason given"
        raise ModelError(f"{delegate} cannot be used: {reason}; check the device and models.delegate_options") from None


def _check(delegate: Delegate) -> None:
    """Find the library and its functions. The runtimes, too, raise where one is missing, but then print the traceback
    of a half-made object. Raises ModelError."""
    try:
        library = ctypes.CDLL(delegate.library)
    except OSError as error:
        raise ModelError(f"{delegate} cannot be loaded: {error}; install it, or give its path") from None
    missing = [name for name in FUNCTIONS if not hasattr(library, name)]
    if missing:
        raise ModelError(
            f"{delegate} is not a TFLite delegate: expected it to export {missing[0]}, such as libedgetpu.so.1"
        )


def keep(delegates: list[Any], interpreter: Any) -> None:
    """Keep the delegates alive longer than their interpreter.

    It also holds them, and releases them in the right order. But where both are part of a reference cycle, Python's
    collector destroys them in any order, and the interpreter then frees its delegate's data through a delegate that
    no longer exists. What is held from here is not part of the cycle.
    """
    weakref.finalize(interpreter, _let_go, delegates).atexit = False


def _let_go(_: list[Any]) -> None:
    """Nothing to do: they were held until now."""


def share(library: str, nodes: Sequence[Mapping[str, Any]]) -> Share:
    """What a delegate has taken.

    The runtime adds a node for each part of the graph that was taken, and keeps the nodes of that part in its list, but
    does not report which: they are the ones between the new node's inputs and its outputs.

    Args:
        library: the delegate's.
        nodes: `_get_ops_details` of an interpreter whose tensors are not allocated yet: then the runtime's own
            delegates (XNNPACK) take their parts.

    """
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    source = {int(tensor): number for number, node in enumerate(own) for tensor in node["outputs"]}
    taken: set[int] = set()
    for node in nodes[len(own) :]:
        seen, waiting = {int(tensor) for tensor in node["inputs"]}, [int(tensor) for tensor in node["outputs"]]
        while waiting:
            tensor = waiting.pop()
            if tensor in source and tensor not in seen:
                taken.add(source[tensor])
                waiting.extend(int(tensor) for tensor in own[source[tensor]]["inputs"])
            seen.add(tensor)
    return Share(library, len(taken), len(own))
