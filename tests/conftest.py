"""What several test files need."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import fer_edge.camera.capture as feed_module
from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image
from fer_edge.testing.brokers import PATIENCE, wait_for
from tests.support.order import long_ones_first

# how long an example takes says something about the machine, nothing about the code
settings.register_profile(
    "fer-edge",
    deadline=None,
    max_examples=max(10, round(100 / PATIENCE)),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fer-edge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What builds its own machines (tests/hardware/) is for `scripts/test-pi`; elsewhere it says so. Where several
    processes share the tests, what takes long comes first."""
    if not os.environ.get("FER_EDGE_TEST_PI"):
        for item in items:
            if item.path.parent.name == "hardware":
                item.add_marker(pytest.mark.skip(reason="builds its own machines: run ./scripts/test-pi"))
    if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = [
            items[index] for index in long_ones_first([item.nodeid.split("::")[0] for item in items], processes)
        ]


def pytest_collection_finish() -> None:
    """What the tests' modules hold stays until the end: the garbage collector need not look at it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def astronaut() -> Image:
    """A portrait u8[H,W,3] with one smiling face."""
    return read_picture(PICTURES / "astronaut.jpg")


@pytest.fixture(scope="session")
def loaded() -> Pipeline:
    """A pipeline whose models are loaded once; `pipeline` hands it out fresh."""
    return Pipeline(Config())


@pytest.fixture
def pipeline(loaded: Pipeline) -> Pipeline:
    """A pipeline that has seen nothing."""
    loaded.config = Config()
    loaded.reset()
    return loaded


@pytest.fixture(autouse=True)
def state_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another one, or a daemon on this machine, has left."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def log_level_as_it_was() -> Iterator[None]:
    """A daemon sets its process's level, also where it runs in a thread of a test: later tests count warnings."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test starts has ended with it."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: set(threading.enumerate()) <= before, "all threads have ended")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost camera is looked for at once."""
    monkeypatch.setattr(feed_module, "FIRST_PAUSE_SECONDS", 0.01)
