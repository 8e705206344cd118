"""Prints fer-edge(1) as the command line describes itself.

    python systemd/debian/manpage.py >systemd/debian/fer-edge.1

The page is in the repository, for the machine that builds the package need not be able to run fer-edge.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from fer_edge.__main__ import COMMANDS
from fer_edge.commands.arguments import EXAMPLES, parser

HEAD = r""".\" Made by systemd/debian/manpage.py
.TH FER\-EDGE 1 "" fer\-edge "User Commands"
.SH NAME
fer\-edge \- per\-face expression events from a camera, over MQTT
.SH SYNOPSIS
.B fer\-edge
.I COMMAND
.RI [ OPTION ...]
.SH DESCRIPTION
Watches a camera, finds every face, classifies its expression and publishes events over MQTT.
.SH COMMANDS"""

TAIL = r""".SH EXIT STATUS
0: all is well. 1: something is wrong, one line says what. 2: wrong usage. 78: \fBrun\fR, the configuration is wrong.
130: interrupted.
.SH FILES
.TP
.I /etc/fer\-edge/config.yaml
the configuration; explains every key
.TP
.I /etc/credstore/fer\-edge.mqtt\-password
the broker's password, for the service only
.TP
.I /etc/credstore/fer\-edge.web\-token
the live page's token, for the service only
.TP
.I /var/lib/fer\-edge
the service's state: events that wait for the broker, values set over MQTT"""


def page() -> str:
    """The whole page, in the language of man(7)."""
    return "\n".join((HEAD, *_commands(parser(COMMANDS)), TAIL, ""))


def _commands(line: argparse.ArgumentParser) -> Iterator[str]:
    for action in line._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from (f".SS fer\\-edge {name}", _escaped(command.description or ""))
                for option in command._actions:
                    if option.dest != "help":
                        yield from (".TP", _name(option), _escaped(_help(option)))
                yield from (".PP", ".nf", _escaped(EXAMPLES[name].rstrip()), ".fi")


def _name(option: argparse.Action) -> str:
    value = "" if option.nargs == 0 else f" \\fI{_escaped(str(option.metavar or option.dest).upper())}\\fR"
    names = ", ".join(f"\\fB{_escaped(each)}\\fR" for each in option.option_strings)
    return f"{names}{value}".lstrip()


def _help(option: argparse.Action) -> str:
    return (option.help or "") % vars(option)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("\n'", "\n\\&'").replace("\n.", "\n\\&.")


if __name__ == "__main__":
    sys.stdout.write(page())
