"""The command line's commands, options and help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge import __version__
from fer_edge.config import Config

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
Command = Callable[[Config, argparse.Namespace], int]

DEFAULT_CONFIG = Path("/etc/fer-edge/config.yaml")

DESCRIPTION = """\
Per-face expression events from a camera, over MQTT.

  fer-edge run                  the daemon (what the systemd service starts)
  fer-edge watch                see its events live, from any machine
  fer-edge check                is everything in order? what to do if not
  fer-edge analyze FILE...      pictures or videos in; lines, tables, a marked film or a report out
  fer-edge report               what the daemon has seen in the last days (history.enabled), as a page
  fer-edge tune SOURCE          what would other thresholds publish? choose, and write them into config.yaml
  fer-edge bench                how fast is this machine?

A first try, without camera and broker:
  fer-edge analyze demo --still | head -1
"""


EXAMPLES = {
    "run": """\
Examples:
  fer-edge run                           with /etc/fer-edge/config.yaml
  fer-edge run -c my.yaml                with another configuration; config.yaml in the repository explains every key
It logs to stderr, publishes what the configuration's sections mqtt and jsonl say, and ends with SIGTERM or Ctrl-C.
Exit code 78: the configuration is wrong, so starting it again would not help.
""",
    "check": """\
Examples:
  fer-edge check -c my.yaml              one line each: ok, warn (it runs all the same) or FAIL, and what to do
  fer-edge check --schema > schema.json  for completion in an editor
""",
    "analyze": """\
Examples:
  fer-edge analyze clip.mp4 --jsonl faces.jsonl
  fer-edge analyze clip.mp4 --video marked.mp4 --report clip.html
  fer-edge analyze clip.mp4 --video marked.mp4 --report clip.html --resume    after Ctrl-C, a crash or a full disk
  fer-edge analyze holiday/ --still --draw marked/
Boxes and landmarks are pixels of the frame whose width and height the line gives. docs/analyze.md has every column.
Ctrl-C leaves complete files of what was read (exit code 130). With --resume and otherwise the same options they are in
the end what an uninterrupted run writes, byte for byte, on the same machine with the same libraries; after kill -9 too.
""",
    "watch": """\
Examples:
  fer-edge watch --host mybroker.local   live, on a terminal
  fer-edge watch --lines | tee today.log
  fer-edge watch --json | jq .expression
""",
    "report": """\
Examples:
  fer-edge report --since 7d -o week.html
  fer-edge report --since 7d --compare previous -o weeks.html
  fer-edge report --since 2026-11-01 --until 2026-11-08 --csv -
A time is so many minutes, hours, days or weeks ago (30m, 12h, 7d, 2w), or a local date, or date and time.
""",
    "tune": """\
Examples:
  fer-edge tune clip.mp4 -c config.yaml                           with a few presets
  fer-edge tune clip.mp4 --try events.enter=0.6 --try "events.enter=0.7 events.leave=0.5"
  fer-edge tune live --for 120                                    what the configured camera sees
  fer-edge tune clip.mp4 -c config.yaml --write calmer
Whatever `set/` takes over MQTT may be tried. Flips: an expression left and taken up again within three seconds.
""",
    "bench": """\
Examples:
  fer-edge bench
  fer-edge bench clip.mp4 --frames 100 --json
  fer-edge bench --models                MACs, parameters, bytes and ms of each model, at its card's input size
  fer-edge bench --report                all about this board's speed as one text to send: fer-edge-report.md
""",
}


def parser(functions: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The command line, whose options then hold the chosen function as `command`."""
    parser = argparse.ArgumentParser(
        prog="fer-edge", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return _command(commands, name, functions[name], text)

    add("run", "run the daemon until it is told to stop (SIGTERM, Ctrl-C)")
    check = add("check", "check configuration, models, camera, broker, permissions, clock, heat")
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of config.yaml and stop")

    _add_analyze(add("analyze", "analyse pictures, folders, videos or streams offline"))
    _add_report(add("report", "show what the daemon has seen over a period (history.enabled)"))
    _add_watch(add("watch", "subscribe and show events as they come"))
    _add_tune(add("tune", "show side by side what other thresholds would publish, and keep the best"))
    _add_bench(add("bench", "measure stage times, frame rate, CPU and memory on this machine"))
    return parser


def _positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def _whole_seconds(text: str) -> int:
    """A whole number from 0."""
    return 0 if text == "0" else _positive(text)


def _add_analyze(analyze: argparse.ArgumentParser) -> None:
    """What is read, and what is written."""
    analyze.add_argument("source", nargs="+", help="picture, folder of pictures, video file, URL, or 'demo'")
    analyze.add_argument(
        "--jsonl",
        metavar="OUT",
        help="a JSON line for each frame (default: to standard output, if nothing else is asked)",
    )
    analyze.add_argument("--csv", metavar="OUT", help="a row for each face in each frame")
    analyze.add_argument("--parquet", metavar="OUT", type=Path, help="the same rows, typed")
    analyze.add_argument(
        "--events", metavar="OUT", help="a JSON line for each event, as over MQTT, with the film's time"
    )
    analyze.add_argument(
        "--video", metavar="OUT.mp4", type=Path, help="the film with its faces marked, H.264; no sound"
    )
    analyze.add_argument("--report", metavar="OUT.html", type=Path, help="one page about all sources, for people")
    analyze.add_argument("--draw", metavar="FOLDER", type=Path, help="each frame with its faces marked, as JPEG")
    analyze.add_argument("--still", action="store_true", help="every picture stands for itself: no tracking, no events")
    analyze.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    analyze.add_argument(
        "--save-every", dest="save_seconds", metavar="SECONDS", type=_seconds, default=10.0,
        help="what a killed run may lose of its time (default: %(default)g)",
    )  # fmt: skip


def _seconds(text: str) -> float:
    """A time from 0, in seconds."""
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"expected a number of seconds from 0, got {text}")


def _add_watch(watch: argparse.ArgumentParser) -> None:
    """What `watch` can be told; where it is silent, the configuration's mqtt section answers."""
    watch.add_argument("--host", help="broker (default: mqtt.broker of the configuration)")
    watch.add_argument("--port", type=int, help="its port")
    watch.add_argument("--device", default="+", help="only this device id (default: all)")
    watch.add_argument("--topic", help="first part of the topics")
    watch.add_argument("--username", help="user name at the broker")
    watch.add_argument("--password-file", metavar="FILE", help="file that holds the password")
    watch.add_argument("--tls", action="store_true", help="connect with TLS")
    watch.add_argument("--ca-file", metavar="FILE", help="trust this CA instead of the system's")
    watch.add_argument("--lines", action="store_true", help="one line an event, as where the output is no terminal")
    watch.add_argument("--json", action="store_true", help="print the messages as they are, for pipes")
    watch.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="stop after this time")
    watch.add_argument("--until-offline", action="store_true", help="stop when the device goes offline")


def _add_report(report: argparse.ArgumentParser) -> None:
    """Which period, and where it goes."""
    report.add_argument("--since", default="7d", metavar="TIME", help="where the period begins (default: %(default)s)")
    report.add_argument("--until", metavar="TIME", help="where it ends (default: now)")
    report.add_argument("--compare", metavar="TIME", help="beside an equally long period from TIME on, or 'previous'")
    report.add_argument("-o", "--out", type=Path, metavar="OUT.html", help="write the page there")
    report.add_argument("--csv", metavar="OUT", help="write minute by minute as CSV, - for standard output")
    report.add_argument("--file", type=Path, metavar="history.db", help="a history from elsewhere")


def _add_tune(tune: argparse.ArgumentParser) -> None:
    """What is played, and what is tried."""
    tune.add_argument("source", help="what analyze takes, or 'live': the configured camera")
    tune.add_argument("--try", dest="tries", action="append", default=[], metavar="KEY=VALUE", help="thresholds to try")
    tune.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="of the source (live: 60)")
    tune.add_argument("--write", metavar="NAME", help="write this column's thresholds into the configuration")
    tune.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_bench(bench: argparse.ArgumentParser) -> None:
    """What is measured, and how it is told."""
    bench.add_argument("source", nargs="?", default="demo", help="what to look at (default: the built-in demo)")
    bench.add_argument("--frames", type=_positive, default=300, help="frames to measure (default: %(default)s)")
    bench.add_argument("--models", action="store_true", help="measure each model alone instead: MACs, bytes, ms")
    bench.add_argument("--json", action="store_true", help="print JSON instead of a table")
    bench.add_argument(
        "--report",
        nargs="?",
        const="fer-edge-report.md",
        metavar="FILE",
        help="write everything about this board's speed as one text to send, without personal data; - for standard "
        "output (default: %(const)s)",
    )
    bench.add_argument(
        "--seconds",
        type=_whole_seconds,
        default=60,
        help="with --report: how long to run without a pause, to see "
        "whether heat slows it down; 0: not at all (default: %(default)s)",
    )


def _command(commands: Commands, name: str, function: Command, text: str) -> argparse.ArgumentParser:
    """Add a command that runs `function`; every command takes a configuration."""
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"{EXAMPLES[name]}\nExit code: 0 all is well, 1 something is wrong (one line says what), 2 wrong usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "-c", "--config", type=Path, help=f"configuration file (default: {DEFAULT_CONFIG}, if it is there)"
    )
    command.set_defaults(command=function)
    return command
