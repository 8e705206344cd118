"""The command line: builds and runs, nothing else."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fer_edge import __version__
from fer_edge.config import Config, Mqtt, Name, json_schema
from fer_edge.configfile import load_config
from fer_edge.errors import ConfigError, FerEdgeError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
Command = Callable[[Config, argparse.Namespace], int]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
DEFAULT_CONFIG = Path("/etc/fer-edge/config.yaml")

DESCRIPTION = """\
Per-face expression events from a camera, over MQTT.

  fer-edge run                  the daemon (what the systemd service starts)
  fer-edge watch                see its events live, from any machine
  fer-edge check                is everything in order? what to do if not
  fer-edge analyze FILE...      pictures or videos in, one JSON line per frame out
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
  fer-edge analyze holiday/ --still --draw marked/
Boxes and landmarks are pixels of the frame whose width and height the line gives.
""",
    "watch": """\
Examples:
  fer-edge watch --host mybroker.local
  fer-edge watch --json | jq .expression
""",
    "bench": """\
Examples:
  fer-edge bench
  fer-edge bench clip.mp4 --frames 100 --json
  fer-edge bench --models                MACs, parameters, bytes and ms of each model, at its card's input size
  fer-edge bench --report                all about this board's speed as one text to send: fer-edge-report.md
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code. No error that a user can cause ends in a traceback."""
    _open_missing_streams()
    options = _parser().parse_args(arguments)
    try:
        if getattr(options, "schema", False):  # no configuration is needed for this
            print(json.dumps(json_schema(), indent=2))
            return 0
        config = _config(options)
        _log_to_stderr(config.log.level)
        return int(options.command(config, options))
    except FerEdgeError as error:
        _complain(error)
        return os.EX_CONFIG if isinstance(error, ConfigError) and options.command is _run else 1
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
    for line in str(error).splitlines():
        print(f"{mark}fer-edge: {line}", file=sys.stderr)


def _in_journal() -> bool:
    """Whether stderr ends there, and not only that of whoever started us (systemd.exec(5), $JOURNAL_STREAM)."""
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


def _run(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.pipeline import Signals, run

    signals = Signals()

    def on_stop(*_: object) -> None:
        for number in (
            *STOP_SIGNALS,
            signal.SIGHUP,
        ):  # none must interrupt this one
            signal.signal(number, signal.SIG_IGN)
        signals.stop.set()

    def on_reload(*_: object) -> None:
        signals.reload = True

    for number in STOP_SIGNALS:
        signal.signal(number, on_stop)
    signal.signal(signal.SIGHUP, on_reload)
    faulthandler.enable(file=2)  # systemd's watchdog aborts what hangs: the journal then shows where that was
    run(config, signals, path=options.config)
    return 0


def _check(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.check import check

    return check(config, options.config)


def _analyze(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.analyze import AnalyzeOptions, analyze

    wanted = AnalyzeOptions(sources=options.source, jsonl=options.jsonl, still=options.still, draw=options.draw)
    return 1 if analyze(config, wanted) else 0


def _bench(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.bench import bench, bench_models
    from fer_edge.benchreport import report

    if options.report:
        if options.source != "demo" or options.models or options.json:
            raise ConfigError(
                "bench: --report measures the demo, the same on every board; expected no other source, "
                "no --models and no --json beside it"
            )
        report(config, options.report, frames=options.frames, seconds=options.seconds)
    elif options.models:
        bench_models(config, as_json=options.json)
    else:
        bench(config, options.source, frames=options.frames, as_json=options.json)
    return 0


def _watch(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.watch import WatchOptions, watch

    given = {name: getattr(options, name) for name in ("port", "topic", "username", "password_file", "ca_file")}
    changes = {name: value for name, value in given.items() if value is not None}
    host = options.host or ("127.0.0.1" if config.mqtt.broker == "embedded" else config.mqtt.broker)
    changes |= {"broker": host, "tls": options.tls or config.mqtt.tls}
    if config.mqtt.broker == "embedded":
        changes["version"] = "3.1.1"  # it does not answer anything else
    try:
        if options.device != "+":
            msgspec.convert(options.device, Name)
        mqtt = msgspec.convert(msgspec.to_builtins(config.mqtt) | changes, Mqtt)
    except msgspec.ValidationError as error:
        raise ConfigError(f"watch: an option is wrong: {error}; see fer-edge watch --help") from None
    watch(
        WatchOptions(
            mqtt=mqtt,
            device=options.device,
            json=options.json,
            for_seconds=options.seconds,
            until_offline=options.until_offline,
        )
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fer-edge", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _command(commands, "run", _run, "run the daemon until it is told to stop (SIGTERM, Ctrl-C)")
    check = _command(commands, "check", _check, "check configuration, models, camera, broker, permissions, clock, heat")
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of config.yaml and stop")

    analyze = _command(commands, "analyze", _analyze, "analyse pictures, folders, videos or streams offline")
    analyze.add_argument("source", nargs="+", help="picture, folder of pictures, video file, URL, or 'demo'")
    analyze.add_argument("--jsonl", metavar="OUT", default="-", help="write the lines there (default: standard output)")
    analyze.add_argument("--still", action="store_true", help="every picture stands for itself: no tracking")
    analyze.add_argument("--draw", metavar="FOLDER", type=Path, help="write each frame with its faces marked, as JPEG")

    _add_watch(_command(commands, "watch", _watch, "subscribe and show events as they come"))

    bench = _command(commands, "bench", _bench, "measure stage times, frame rate, CPU and memory on this machine")
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
        type=_seconds,
        default=60,
        help="with --report: how long to run without a pause, to see "
        "whether heat slows it down; 0: not at all (default: %(default)s)",
    )
    return parser


def _positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _seconds(text: str) -> int:
    """A whole number from 0."""
    return 0 if text == "0" else _positive(text)


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
    watch.add_argument("--json", action="store_true", help="print the messages as they are, for pipes")
    watch.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="stop after this time")
    watch.add_argument("--until-offline", action="store_true", help="stop when the device goes offline")


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


def _config(options: argparse.Namespace) -> Config:
    """The named file; else the system's, if there is one; else the defaults."""
    if options.config is None and not DEFAULT_CONFIG.exists():
        return Config()
    return load_config(options.config or DEFAULT_CONFIG)


class JournalFormatter(logging.Formatter):
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
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
