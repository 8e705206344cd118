"""Fixtures for the tests of the installed service: a plugin of pytest, for a second conftest.py confuses mypy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hardware.service_machine import Machine, machine, package


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine with fer-edge installed; `reset` before use."""
    with machine(package(tmp_path_factory.mktemp("package"))) as booted:
        yield booted


@pytest.fixture
def pi(booted: Machine) -> Iterator[Machine]:
    """The same as after the installation, and what the broker passes on is recorded."""
    booted.reset()
    with booted.listening():
        yield booted
    booted.run("systemctl", "stop", "fer-edge")
