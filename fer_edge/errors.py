"""Every error that fer-edge raises on purpose.

    FerEdgeError
    ├── ConfigError      (ValueError)     config.yaml or the command line is wrong
    ├── ModelError       (ValueError)     a model is missing, damaged or differs from its card
    ├── CameraError      (OSError)        a source cannot be opened, or was lost under way
    │   └── CameraTimeout (TimeoutError)  it is open but delivers nothing
    ├── SinkError        (OSError)        a sink cannot be opened (an unavailable broker is no error)
    ├── ReportError      (ValueError)     a report cannot be made: no history, no such period
    ├── ArgumentError    (ValueError)     the Python API was given an invalid argument
    ├── Interrupted      (KeyboardInterrupt) a run was stopped before its end
    └── AlreadyRunning   (OSError)        another daemon holds this device id

Each message is one line (`ConfigError`: one line a finding) that states what, where, expected, got and what to
do. `__main__` prints it as it is and exits with 1: a user never meets a traceback.
"""

from __future__ import annotations


class FerEdgeError(Exception):
    """Base of all errors of this package."""


class ConfigError(FerEdgeError, ValueError):
    """The configuration is wrong; `findings` holds one line for each thing that is."""

    def __init__(self, *findings: str) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class ModelError(FerEdgeError, ValueError):
    """A model file or its card cannot be used."""


class CameraError(FerEdgeError, OSError):
    """A source cannot be opened, or was lost."""


class CameraTimeout(CameraError, TimeoutError):
    """A source is open but delivered no frame in time."""


class SinkError(FerEdgeError, OSError):
    """A sink cannot be opened."""


class ReportError(FerEdgeError, ValueError):
    """A report cannot be made."""


class AlreadyRunning(FerEdgeError, OSError):
    """Another fer-edge daemon runs under the same device id."""


class ArgumentError(FerEdgeError, ValueError):
    """A function of the Python API was given an invalid argument."""


class Interrupted(FerEdgeError, KeyboardInterrupt):
    """A run was stopped before its end; the message is how far it came. `__main__` exits with 130."""
