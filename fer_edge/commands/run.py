"""`fer-edge run`: the daemon."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
from typing import NoReturn

from fer_edge.config import Config
from fer_edge.daemon import Signals
from fer_edge.daemon import run as run_daemon

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

EXAMPLES = """\
Examples:
  fer-edge run                           with /etc/fer-edge/config.yaml; without it, in a checkout, with ./config.yaml
  fer-edge run -c my.yaml                with another configuration; config.yaml in the repository explains every key
It logs to stderr, publishes what the configuration's sections mqtt and jsonl say, and ends with SIGTERM or Ctrl-C.
Exit code 78: the configuration is wrong, so starting it again would not help.
"""


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Nothing but the configuration."""


def run(config: Config, options: argparse.Namespace) -> int:
    """The daemon, until a signal stops it."""
    signals = Signals()
    if not options.config_named:
        log.info("configuration: %s", options.config or "defaults, as there is no file")
    if options.config_note:
        log.warning("%s", options.config_note)

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
    if not run_daemon(config, signals, path=options.config):
        return 0
    if "INVOCATION_ID" in os.environ:  # of systemd, which starts it again (systemd.exec(5))
        return os.EX_TEMPFAIL
    return _start_anew()


def _start_anew() -> NoReturn:
    """Where nobody else would start the daemon again."""
    os.execv(sys.executable, [sys.executable, "-m", "fer_edge", *sys.argv[1:]])  # noqa: S606 - ourselves
