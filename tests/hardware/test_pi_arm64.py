"""The daemon on arm64, emulated by qemu-user: what it computes, what it takes, and its own tests."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge import __version__
from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.testing.brokers import wait_for
from fer_edge.vision.tflite import Model
from tests.hardware import memory
from tests.hardware.emulation import (
    CPUS,
    MACHINE,
    PYTHONS,
    TEST_WHEELS,
    Board,
    board,
    dependencies,
    emulated,
    installed_board,
    tflite_runtime,
)
from tests.hardware.model_outputs import Tensors, run
from tests.hardware.roots import REPOSITORY
from tests.hardware.wheels import wheels
from tests.support.replaying import replay
from tests.support.samples import frame_of

pytestmark = pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine is arm64: run scripts/test on it")

RANDOM_INPUTS = 20  # for each model
PEAK_MB = 160.0  # of a Zero 2 W's 512
SUITE_SECONDS = 5400.0
TRAINING = re.compile(r"^(from|import) (quantize|made_up_sets|ferplus_samples)\b", re.MULTILINE)

OUTPUTS = "/src/tests/hardware/model_outputs.py"
DAEMON = "/src/tests/hardware/mapped_daemon.py"


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, str]]]:
    """What was measured, printed as a table after the last test."""
    found: list[tuple[str, str]] = []
    yield found
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    assert capture
    with capture.global_and_fixture_disabled():
        print("", *(f"{what:62} {value}" for what, value in found), sep="\n")


@pytest.fixture(scope="module", autouse=True)
def suites(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """The package's own tests, begun at once on each release that is asked for: they take long."""
    started: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    asked = {item.name for item in request.session.items}
    for suite, cpu in zip(PYTHONS, CPUS, strict=False):
        if f"test_the_package_s_own_tests[{suite}]" not in asked:
            continue
        folder = tmp_path_factory.mktemp(suite)
        tested = board(
            suite, folder, packages=[packages(suite), wheels(PYTHONS[suite], MACHINE, TEST_WHEELS)]
        ).with_cpu(cpu)
        options = ("-p", "no:cacheprovider", "--timeout=1800", "--durations=10")
        command = tested.command("python3", "-m", "pytest", *options, *core())
        with (folder / "log").open("wb") as log:
            environment = tested.environment(FER_EDGE_TEST_PATIENCE="10")
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        started[suite] = process, folder / "log"
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


def core() -> list[str]:
    """All tests but those of training, which needs TensorFlow and is not done on a board, and those of this folder."""
    files = sorted(
        file
        for room in ("unit", "integration", "quantize")
        for file in (REPOSITORY / "tests" / room).rglob("test_*.py")
    )
    return [str(file.relative_to(REPOSITORY)) for file in files if not TRAINING.search(file.read_text())]


def packages(suite: str) -> Path:
    return wheels(PYTHONS[suite], MACHINE, dependencies("embedded"))


@pytest.fixture(scope="module")
def inputs() -> Tensors:
    """i8 inputs for each model: what the daemon feeds it with on our pictures and the demo, and random ones."""
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    invoke = Model._invoke  # what is timed is the runtime alone

    def keep(self: Model, held: np.ndarray[Any, Any]) -> Any:
        found.setdefault(self.card.role, []).append(held.reshape(self._shape(*self.size)))
        return invoke(self, held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "_invoke", keep)
        pipeline = Pipeline(Config())
        for picture in sorted(PICTURES.glob("*.jpg")):
            pipeline.look(frame_of(read_picture(picture)))
        for frame in replay("demo")[::10]:
            pipeline.step(frame)
    random = np.random.default_rng(5)
    for role, real in found.items():
        shape = real[0].shape
        found[role] = [*real, *(random.integers(-128, 128, shape, np.int8) for _ in range(RANDOM_INPUTS))]
    return {f"{role}/{number}": held for role, all_held in found.items() for number, held in enumerate(all_held)}


@pytest.fixture(scope="module")
def expected(inputs: Tensors) -> Tensors:
    """What the models say to that on this machine."""
    return run("ai-edge-litert", inputs)


def outputs(on: Board, inputs: Tensors, runtime: str = "ai-edge-litert") -> tuple[Tensors, str]:
    """What the models say on a board, and what the script said about them."""
    np.savez(on.shared / "inputs.npz", **inputs)  # type: ignore[arg-type] # a name could be an argument; none is
    message = on.run("python3", OUTPUTS, runtime, "/shared/inputs.npz", "/shared/outputs.npz", timeout=1800)
    with np.load(on.shared / "outputs.npz") as found:
        return dict(found), message


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("suite", PYTHONS)
def test_int8_outputs_are_those_of_this_machine(
    suite: str, cpu: str, inputs: Tensors, expected: Tensors, tmp_path: Path, figures: list[tuple[str, str]]
) -> None:
    found, message = outputs(board(suite, tmp_path).with_cpu(cpu), inputs)
    assert found.keys() == expected.keys()
    unequal = {name: difference(found[name], expected[name]) for name in found if (found[name] != expected[name]).any()}
    assert unequal == {}
    assert message.splitlines() == ["detector 1", "expression 1", "landmarks 1"]  # each model as a whole to XNNPACK
    values = sum(tensor.size for tensor in found.values())
    figures.append(
        (f"{cpu}, Python {PYTHONS[suite]}: int8 outputs as here", f"{len(inputs)} inputs, {values} values, all equal")
    )


def difference(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("cpu", CPUS)
def test_dot_products_are_used_where_the_cpu_has_them(
    cpu: str, inputs: Tensors, tmp_path: Path, figures: list[tuple[str, str]]
) -> None:
    on = board("trixie", tmp_path).with_cpu(cpu)
    np.savez(tmp_path / "inputs.npz", **{"expression/0": inputs["expression/0"]})  # type: ignore[arg-type]
    log = {"QEMU_LOG": "in_asm", "QEMU_LOG_FILENAME": "/shared/translated"}
    on.run("python3", OUTPUTS, "ai-edge-litert", "/shared/inputs.npz", "/shared/outputs.npz", environment=log)
    translated = (tmp_path / "translated").read_text(errors="replace")
    assert len(translated) > 1e6
    count = len(re.findall(r"\ssdot\s", translated))
    assert (count > 0) == (cpu == "cortex-a76")
    figures.append((f"{cpu}: places with a dot-product instruction", str(count)))


def test_tflite_runtime_with_its_pins(
    inputs: Tensors, expected: Tensors, tmp_path: Path, figures: list[tuple[str, str]]
) -> None:
    on = board("bookworm", tmp_path, packages=[wheels("3.11", MACHINE, tflite_runtime())])
    found, message = outputs(on, inputs, "tflite-runtime")
    assert found.keys() == expected.keys()
    assert message.splitlines() == ["detector 0", "expression 0", "landmarks 0"]  # it runs int8 without XNNPACK
    for role, allowed in {"detector": 20, "landmarks": 10, "expression": 4}.items():
        apart = [difference(found[name], expected[name]) for name in found if name.startswith(role)]
        share = float(np.mean([(found[name] != expected[name]).mean() for name in found if name.startswith(role)]))
        assert max(apart) <= allowed
        figures.append(
            (
                f"tflite-runtime 2.14.0 beside ai-edge-litert: {role}",
                f"at most {max(apart)} of 255 steps apart, {share:.0%} unequal",
            )
        )
    (tmp_path / "config.yaml").write_text("models: {runtime: tflite-runtime}\n")
    checked = on.run("python3", "-m", "fer_edge", "check", "--config", "/shared/config.yaml", check=False)
    assert "match their cards; tflite-runtime 2.14.0" in checked
    arguments = ("analyze", "--still", "--config", "/shared/config.yaml", "/src/fer_edge/camera/pictures")
    reported = on.run("python3", "-m", "fer_edge", *arguments)
    faces = [[face["expression"] for face in json.loads(line)["faces"]] for line in reported.splitlines()]
    assert faces == [["happiness"], ["neutral"]]


@pytest.mark.parametrize("suite", PYTHONS)
def test_the_demo_is_analysed_as_here(suite: str, tmp_path: Path, figures: list[tuple[str, str]]) -> None:
    compare_demo(board(suite, tmp_path), ("python3", "-m", "fer_edge"))
    figures.append((f"Python {PYTHONS[suite]}: lines of `fer-edge analyze demo`", "180, all equal to this machine's"))


def compare_demo(on: Board, command: Sequence[str], packages_here: Path | None = None) -> None:
    """All JSON lines of the demo must be this machine's; that takes `packages_here` first, where they are given."""
    arguments = ("analyze", "demo", "--jsonl")
    here, there = on.shared / "here", on.shared / "there"
    environment = os.environ | ({"PYTHONPATH": str(packages_here)} if packages_here else {})
    subprocess.run(
        [sys.executable, "-m", "fer_edge", *arguments, str(here)], check=True, cwd=REPOSITORY, env=environment
    )
    on.run(*command, *arguments, "/shared/there", timeout=1800)
    assert here.read_text().count("\n") == 180
    assert there.read_text() == here.read_text()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our Debian package for arm64, hardly compressed."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([REPOSITORY / "scripts/build-deb", "arm64", "--fast", f"--output={folder}"], check=True)
    (found,) = folder.glob("*.deb")
    return found


def same_opencv(folder: Path) -> Path:
    """The package's release of OpenCV for this machine: releases differ in how they round."""
    (metadata,) = (folder / "package").rglob("opencv_python_headless-*.dist-info")
    release = metadata.name.split("-")[1].removesuffix(".dist")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return wheels(python, platform.machine(), ("--no-deps", f"opencv-python-headless=={release}"))


@pytest.mark.parametrize("suite", PYTHONS)
def test_the_debian_package_runs_with_the_system_s_numpy(
    suite: str, package: Path, tmp_path: Path, figures: list[tuple[str, str]]
) -> None:
    on = installed_board(suite, tmp_path, package)
    assert on.run("fer-edge", "--version").strip() == f"fer-edge {__version__}"
    assert "match their cards; ai-edge-litert" in on.run("fer-edge", "check", check=False)
    numpy = on.run("python3", "-c", "import numpy; print(numpy.__version__)").strip()
    compare_demo(on, ("fer-edge",), same_opencv(tmp_path))
    figures.append((f"Python {PYTHONS[suite]}: Debian package, lines of the demo", f"all equal, with numpy {numpy}"))


@pytest.mark.parametrize("suite", PYTHONS)
def test_memory_of_the_running_daemon(suite: str, tmp_path: Path, figures: list[tuple[str, str]]) -> None:
    on = board(suite, tmp_path).with_cpu("cortex-a53")
    (tmp_path / "config.yaml").write_text(memory.CONFIG.replace("FOLDER", "/shared"))
    command = on.command("python3", DAEMON, "/shared/maps", "/shared/config.yaml")
    found = memory.peak(command, tmp_path, environment=on.environment(), program=emulated)
    assert 60 < found.total < PEAK_MB
    figures.append((f"fer-edge run, Python {PYTHONS[suite]}: most memory", shown(found)))


def test_memory_of_the_running_daemon_here_by_the_same_method(tmp_path: Path, figures: list[tuple[str, str]]) -> None:
    (tmp_path / "config.yaml").write_text(memory.CONFIG.replace("FOLDER", str(tmp_path)))
    command = [sys.executable, str(REPOSITORY / DAEMON[5:]), str(tmp_path / "maps"), str(tmp_path / "config.yaml")]
    statuses: list[str] = []

    def program(process: subprocess.Popen[str]) -> int:
        statuses.append(Path(f"/proc/{process.pid}/status").read_text())
        return process.pid

    found = memory.peak(command, tmp_path, environment=dict(os.environ), program=program)
    high = re.search(r"^VmHWM:\s+(\d+) kB", statuses[-1], re.MULTILINE)
    assert high
    assert found.total == pytest.approx(int(high[1]) * 1024 / 1e6, rel=0.05)
    figures.append((f"the same on this machine ({platform.machine()})", shown(found)))


def shown(found: memory.Resident) -> str:
    return f"{found.total:.0f} MB: {found.anonymous:.0f} of its own, {found.files:.0f} clean pages of files"


@pytest.mark.parametrize("suite", PYTHONS)
def test_installed_sizes(suite: str, figures: list[tuple[str, str]]) -> None:
    sizes = {found.name: size_mb(found) for found in distributions(path=[str(packages(suite))])}
    own = sum(path.stat().st_size for top in ("fer_edge", "models") for path in files_of(REPOSITORY / top)) / 1e6
    large = ", ".join(f"{name} {size:.1f}" for name, size in sorted(sizes.items(), key=lambda each: -each[1])[:5])
    total = sum(sizes.values()) + own
    assert total < 300
    figures.append(
        (f"Python {PYTHONS[suite]}: installed, MB", f"{total:.0f}: {large}, fer-edge {own:.1f}, the rest small")
    )


def size_mb(found: Distribution) -> float:
    """MB (10^6 bytes) of a package's files."""
    paths = (Path(str(file.locate())) for file in found.files or ())
    return sum(path.stat().st_size for path in paths if path.exists()) / 1e6


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]


@pytest.mark.timeout(SUITE_SECONDS)
@pytest.mark.parametrize("suite", PYTHONS)
def test_the_package_s_own_tests(
    suite: str,
    suites: dict[str, tuple[subprocess.Popen[bytes], Path]],
    figures: list[tuple[str, str]],
) -> None:
    process, log = suites[suite]
    code = process.wait(SUITE_SECONDS)
    message = log.read_text(errors="replace")
    assert code == 0, message[-8000:]
    figures.append((f"Python {PYTHONS[suite]}: the package's own tests", message.splitlines()[-1].strip("= ")))


def test_nothing_is_left_on_this_machine(tmp_path: Path) -> None:
    table = Path("/proc/sys/fs/binfmt_misc")
    before = (sorted(table.glob("*")), Path("/proc/mounts").read_text())
    assert board("trixie", tmp_path).run("uname", "-m").strip() == "aarch64"
    process = subprocess.Popen(board("trixie", tmp_path).command("sleep", "600"), text=True)
    wait_for(lambda: emulated(process) is not None, "the emulated program")
    pid = emulated(process)
    process.kill()
    process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "its end")
    assert (sorted(table.glob("*")), Path("/proc/mounts").read_text()) == before
