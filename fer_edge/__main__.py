"""The command line: builds and runs, nothing else."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from fer_edge.commands import COMMANDS, chosen, parser
from fer_edge.commands.arguments import found_config, passed_over
from fer_edge.config import Config
from fer_edge.errors import ConfigError, FerEdgeError, Interrupted
from fer_edge.runtime.part_name import NamePart
from fer_edge.runtime.say_once import OneLineFormatter, SayOnce, one_line
from fer_edge.settings.loader import load_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code. No error that a user can cause ends in a traceback."""
    _open_missing_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser(chosen(arguments)).parse_args(arguments)
        config = _config(options)
        _log_to_stderr(config.log.level)
        return COMMANDS[options.command].load().run(config, options)
    except Interrupted as error:
        print(f"fer-edge: {error}", file=sys.stderr)
        return 130
    except FerEdgeError as error:
        _complain(error)
        return os.EX_CONFIG if isinstance(error, ConfigError) and chosen(arguments) == ["run"] else 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # standard output on a full disk
        print(f"fer-edge: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        return 1


def _complain(error: FerEdgeError) -> None:
    """One line for each thing that is wrong; in the journal, as an error."""
    mark = "<3>" if _in_journal() else ""
    for line in error.findings if isinstance(error, ConfigError) else (str(error),):
        print(f"{mark}fer-edge: {one_line(line)}", file=sys.stderr)


def _in_journal() -> bool:
    """Whether stderr is the journal's, and not only the parent process's (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or none of the system's
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"


def _open_missing_streams() -> None:
    """Where the caller closed a standard stream, open it on nothing: libraries write there without asking."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _config(options: argparse.Namespace) -> Config:
    """The named file; else the one that is found, whose path `options` has from then on; else the defaults."""
    options.config_named, options.config_note = options.config is not None, None
    if not options.config_named:
        options.config = found_config()
        options.config_note = passed_over(options.config)
    return load_config(options.config) if options.config else Config()


class JournalFormatter(OneLineFormatter):
    """Lines with the priority that the journal understands (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        """As in "<4>the camera is away"."""
        priority = 3 if record.levelno >= 40 else 4 if record.levelno >= 30 else 6 if record.levelno >= 20 else 7
        return f"<{priority}>{super().format(record)}"


def _log_to_stderr(level: str) -> None:
    """Plain lines with the time on a terminal; the journal has the time already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JournalFormatter("%(message)s")
        if _in_journal()
        else OneLineFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    )
    handler.addFilter(NamePart())
    handler.addFilter(SayOnce())
    logging.basicConfig(level=level.upper(), handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
