"""How much it takes to add a command, a camera backend or a sink: a module and one line, as CONTRIBUTING.md says."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from fer_edge.__main__ import main
from fer_edge.camera import FrameMaker, open_camera
from fer_edge.camera.orientation import Orientation
from fer_edge.commands import COMMANDS, Command, CommandModule
from fer_edge.config import BACKENDS, Camera, Config, Mqtt, Section
from fer_edge.records import Frame, Update
from fer_edge.settings.control import Control
from fer_edge.sinks import SINKS, open_sinks
from tests.support.face_events import IDENTITY


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> str:
    """A module that somebody else has written."""
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)
    return name


def test_a_new_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("who")

    def run(_: Config, options: argparse.Namespace) -> int:
        print(f"hello {options.who}")
        return 3

    name = module(monkeypatch, "my_greet", EXAMPLES="fer-edge greet me", add_arguments=add_arguments, run=run)
    monkeypatch.setitem(COMMANDS, "greet", Command(name, "greet somebody"))
    assert main(["greet", "world"]) == 3
    assert capsys.readouterr().out == "hello world\n"


def test_a_new_camera_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gray:
        live, colour = True, True

        def __init__(self, config: Camera) -> None:
            self._size, self._frames = (config.height, config.width), FrameMaker(Orientation.of(config))

        def open(self) -> None: ...

        def read(self) -> Frame | None:
            return self._frames.make(np.full(self._size, 7, np.uint8), taken_ns=0)

        def close(self) -> None: ...

    monkeypatch.setitem(BACKENDS, "gray", module(monkeypatch, "my_camera", Gray=Gray) + ":Gray")
    frame = open_camera(Camera(backend="gray", width=32, height=24)).read()
    assert frame is not None
    assert (frame.gray == 7).all()


def test_a_new_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    class Printer:
        pictures = False
        got: ClassVar[list[Update]] = []

        def __init__(self, config: Config, *_: object) -> None: ...

        def start(self) -> None: ...

        def submit(self, update: Update) -> None:
            self.got.append(update)

        def close(self, timeout: float) -> None: ...

    class PrinterSection(Section, frozen=True):
        enabled: bool = True

    class MyConfig(Config, frozen=True):
        printer: PrinterSection = PrinterSection()

    monkeypatch.setitem(SINKS, "printer", module(monkeypatch, "my_sink", Printer=Printer) + ":Printer")
    config = MyConfig(mqtt=Mqtt(enabled=False))
    (sink,) = open_sinks(config, IDENTITY, Control(config))
    sink.submit(Update(None))
    assert Printer.got == [Update(None)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_what_a_command_needs(name: str) -> None:
    command: CommandModule = COMMANDS[name].load()
    assert f"fer-edge {name}" in command.EXAMPLES
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert callable(command.run)
