"""The command line: builds and runs, nothing else."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from threading import Event

import msgspec

from fer_edge.commands.arguments import DEFAULT_CONFIG, Command, parser
from fer_edge.config import Config, Mqtt, Name, json_schema
from fer_edge.errors import ConfigError, FerEdgeError, Interrupted
from fer_edge.settings.loader import load_config

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code. No error that a user can cause ends in a traceback."""
    _open_missing_streams()
    options = parser(COMMANDS).parse_args(arguments)
    try:
        if getattr(options, "schema", False):  # no configuration is needed for this
            print(json.dumps(json_schema(), indent=2))
            return 0
        config = _config(options)
        _log_to_stderr(config.log.level)
        return int(options.command(config, options))
    except Interrupted as error:
        print(f"fer-edge: {error}", file=sys.stderr)
        return 130
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
    from fer_edge.daemon import Signals, run

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
    from fer_edge.commands.check import check

    return check(config, options.config)


def _analyze(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.commands.analyze import AnalyzeOptions, analyze

    stop = Event()

    def on_stop(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)  # who asks twice does not want to wait

    before = {number: signal.signal(number, on_stop) for number in STOP_SIGNALS}
    names = ("jsonl", "csv", "parquet", "events", "video", "report", "draw", "still", "resume", "save_seconds")
    wanted = AnalyzeOptions(sources=options.source, **{name: getattr(options, name) for name in names})
    try:
        return 1 if analyze(config, wanted, stop) else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.commands.report.periods import ReportOptions, report

    names = ("since", "until", "compare", "out", "csv", "file")
    report(config, ReportOptions(**{name: getattr(options, name) for name in names}))
    return 0


def _tune(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.commands.tune.command import TuneOptions, tune

    wanted = TuneOptions(
        source=options.source, tries=options.tries, seconds=options.seconds, json=options.json, write=options.write
    )
    path = options.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    tune(config, path, wanted)
    return 0


def _bench(config: Config, options: argparse.Namespace) -> int:
    from fer_edge.commands.bench.measure import bench, bench_models
    from fer_edge.commands.bench.report import report

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
    from fer_edge.commands.watch import watch
    from fer_edge.commands.watch.view import WatchOptions

    given = {name: getattr(options, name) for name in ("port", "topic", "username", "password_file", "ca_file")}
    changes = {name: value for name, value in given.items() if value is not None}
    host = options.host or ("127.0.0.1" if config.mqtt.broker == "embedded" else config.mqtt.broker)
    changes |= {"broker": host, "tls": options.tls or config.mqtt.tls}
    if config.mqtt.version == "auto":  # to ask for 5 first costs seconds where a broker, as the embedded one, is silent
        changes["version"] = "3.1.1"
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
            live=sys.stdout.isatty() and not (options.json or options.lines),
            json=options.json,
            for_seconds=options.seconds,
            until_offline=options.until_offline,
        )
    )
    return 0


COMMANDS: dict[str, Command] = {
    "run": _run,
    "check": _check,
    "analyze": _analyze,
    "report": _report,
    "watch": _watch,
    "tune": _tune,
    "bench": _bench,
}


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
