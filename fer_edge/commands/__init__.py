"""The commands of the command line.

A new one is a module with EXAMPLES, `add_arguments` and `run`, and one line in COMMANDS.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from fer_edge import __version__
from fer_edge.commands.arguments import DEFAULT_CONFIG
from fer_edge.config import Config

DESCRIPTION = """\
Per-face expression events from a camera, over MQTT.

A first try, without camera and broker:
  fer-edge analyze demo --still --draw faces/
"""


class CommandModule(Protocol):
    """What a command's module has."""

    EXAMPLES: str
    """Shown below its options."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments; `--config` is there already."""

    def run(self, config: Config, options: argparse.Namespace) -> int:
        """Run it. Returns the exit code; what a user can fix is raised as a FerEdgeError."""


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and what it does in a line. Its module is imported only where it is chosen."""

    module: str
    text: str

    def load(self) -> CommandModule:
        """Import it."""
        return cast(CommandModule, import_module(self.module))


COMMANDS = {
    "run": Command("fer_edge.commands.run", "run the daemon until it is stopped (SIGTERM, Ctrl-C)"),
    "watch": Command("fer_edge.commands.watch.command", "subscribe and show events as they come, from any machine"),
    "forget": Command(
        "fer_edge.commands.forget", "remove what broker and Home Assistant keep of a device that is gone"
    ),
    "check": Command(
        "fer_edge.commands.check", "check configuration, models, camera, broker, permissions, clock, heat"
    ),
    "analyze": Command("fer_edge.commands.analyze.command", "analyse pictures, folders, videos or streams offline"),
    "report": Command(
        "fer_edge.commands.report.command", "show what the daemon has seen over a period (history.enabled)"
    ),
    "notice": Command(
        "fer_edge.commands.notice.command", "write the notice that informs people of the camera, ready to print"
    ),
    "tune": Command("fer_edge.commands.tune.command", "compare what other thresholds would publish, and keep the best"),
    "bench": Command(
        "fer_edge.commands.bench.command", "measure stage times, frame rate, CPU and memory on this machine"
    ),
}


def parser(names: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The command line; its options hold the chosen command's name. Only the commands in `names` are imported and have
    arguments of their own."""
    parser = argparse.ArgumentParser(
        prog="fer-edge", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name,
            help=command.text,
            description=command.text[0].upper() + command.text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in names:
            _fill(own, command.load())
    return parser


def _fill(parser: argparse.ArgumentParser, module: CommandModule) -> None:
    """Every command takes a configuration."""
    parser.epilog = f"{module.EXAMPLES}\nExit code: 0 success, 1 an error (reported in one line), 2 wrong usage."
    module.add_arguments(parser)
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        help=f"configuration file (default: {DEFAULT_CONFIG}, if it is there; in a checkout, else, its config.yaml)",
    )


def chosen(arguments: Sequence[str]) -> list[str]:
    """The command that stands first among the arguments, if any does."""
    return [argument for argument in arguments if not argument.startswith("-")][:1]
