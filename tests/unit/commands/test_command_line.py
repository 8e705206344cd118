"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from fer_edge import __version__
from fer_edge.__main__ import main
from fer_edge.camera.replay import PICTURES
from fer_edge.commands import COMMANDS
from fer_edge.commands import arguments as command_arguments
from fer_edge.commands.watch import CONNECT_SECONDS
from fer_edge.sinks.mqtt.embedded import EmbeddedBroker
from fer_edge.testing.brokers import PATIENCE, Mosquitto, wait_for

ASTRONAUT = str(PICTURES / "astronaut.jpg")


DEVICE = f"test-{os.getpid()}"


COMMAND = [sys.executable, "-m", "fer_edge"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A daemon on the demo at full speed, without a broker."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"device: {{id: {DEVICE}}}\n"
        "camera: {backend: replay, source: demo, pace: max}\n"
        "mqtt: {enabled: false}\n"
        f"jsonl: {{enabled: true, path: {tmp_path}/events.jsonl}}\n"
    )
    return path


@contextmanager
def started(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon of its own process; a test that fails does not leave it behind."""
    with subprocess.Popen([*COMMAND, "run", "-c", str(config)], stderr=subprocess.PIPE, text=True) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


@pytest.fixture(autouse=True)
def signals_as_before() -> object:
    """`run` takes signals over; the tests' own handling comes back after each test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_help_names_every_command_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert all(text.count(f"\n    {name} ") == 1 for name in COMMANDS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watch", "--for", "nan"], "argument --for: expected a number of seconds from 0, got nan"),
        (["tune", "demo", "--for", "-1"], "argument --for: expected a number of seconds from 0, got -1"),
        (["analyze", "demo", "--save-every", "often"], "expected a number of seconds from 0, got often"),
        (["bench", "--frames", "0"], "argument --frames: expected a whole number from 1, got 0"),
        (["bench", "--frames", "many"], "argument --frames: expected a whole number from 1, got many"),
    ],
)
def test_numbers_that_are_none(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert words in capsys.readouterr().err


def test_run_to_the_end(config: Path, tmp_path: Path) -> None:
    assert main(["run", "-c", str(config)]) == 0
    kinds = [json.loads(line)["event_type"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert kinds.count("start") == kinds.count("end") == 3


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without /etc/fer-edge, and a folder to be in."""
    monkeypatch.setattr(command_arguments, "DEFAULT_CONFIG", tmp_path / "etc" / "config.yaml")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_a_checkout_s_own_configuration_is_used(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (nothing_installed / "here" / "config.yaml").write_text("camera: {fsp: 3}\n")
    (nothing_installed / "here" / "pyproject.toml").touch()
    monkeypatch.setattr(command_arguments, "CHECKOUT", nothing_installed / "here")
    assert main(["run"]) == os.EX_CONFIG
    assert "config.yaml:1: section camera, key fsp: unknown" in capsys.readouterr().err
    (nothing_installed / "etc").mkdir()
    (nothing_installed / "etc" / "config.yaml").write_text("camera: {height: x}\n")
    assert main(["run"]) == os.EX_CONFIG
    assert "etc/config.yaml:1: section camera, key height" in capsys.readouterr().err, "the system's goes before it"


@pytest.mark.parametrize("installed", [False, True])
def test_a_configuration_that_lies_here_and_is_not_used_is_named(
    installed: bool, nothing_installed: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(config, nothing_installed / "here" / "config.yaml")
    if installed:
        (nothing_installed / "etc").mkdir()
        shutil.copy(config, nothing_installed / "etc" / "config.yaml")
    main(["check"])
    message = " ".join(capsys.readouterr().out.split())
    why = "etc/config.yaml is there" if installed else "only a checkout's own file is used without -c"
    assert f"{why}; to use it, give -c config.yaml" in message
    assert "./config.yaml is not used" in message
    main(["check", "-c", "config.yaml"])
    assert "is not used" not in capsys.readouterr().out


def test_run_says_which_configuration_it_found(nothing_installed: Path, config: Path) -> None:
    shutil.copy(config, nothing_installed / "here" / "config.yaml")
    again = [*COMMAND, "run"]
    with subprocess.Popen(again, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr
        lines = [daemon.stderr.readline() for _ in range(2)]
        daemon.kill()
    assert "INFO configuration: " in lines[0]
    assert "WARNING ./config.yaml is not used: " in lines[1]


def test_errors_are_lines_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("camera: {fsp: 3, width: x}\n")
    assert main(["run", "-c", str(path)]) == os.EX_CONFIG  # the service need not be started again
    assert main(["bench", "-c", str(path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"fer-edge: {path}:1: section camera") for line in lines)


def test_analyze_prints_lines_and_fails_where_a_source_did(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["analyze", ASTRONAUT, "--still", "--jsonl", str(tmp_path / "o")]) == 0
    assert json.loads((tmp_path / "o").read_text())["faces"][0]["expression"] == "happiness"
    assert main(["analyze", str(tmp_path / "absent.png"), "--jsonl", str(tmp_path / "o")]) == 1


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    shell = f"{sys.executable} -m fer_edge analyze demo --still | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["frame"] == 0


def test_check_green(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[1] for line in lines]
    looked = [
        "models",
        "settings",
        "camera",
        "broker",
        "permissions",
        "instance",
        "clock",
        "thermal",
    ]
    assert names == ["config", *looked]
    assert all(line.split()[0] in ("ok", "warn") for line in lines)
    assert "delivers 640x480" in lines[3]


def test_watch_takes_the_broker_from_config_and_arguments(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        arguments = ["watch", "-c", str(config), "--host", "127.0.0.1", "--port", str(broker.port), "--for", "0.3"]
        assert main(arguments) == 0
    assert f"connected to 127.0.0.1:{broker.port}: watching all devices under fer-edge" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "connection refused" in capsys.readouterr().err
    for wrong, line in (
        (["--device", "#"], 'watch: device "#": expected 1 to 64 letters, digits, _ and -'),
        (["--port", "99999"], "watch: --port: expected a whole number <= 65535, got 99999; see fer-edge watch --help"),
        (["--topic", "a/#"], "watch: --topic: expected letters, digits, _ and -, in parts with / between them"),
    ):
        assert main(["watch", *wrong]) == 1
        assert capsys.readouterr().err.startswith(f"fer-edge: {line}")


def test_watch_does_not_wait_for_a_broker_that_is_silent_to_mqtt_5(capsys: pytest.CaptureFixture[str]) -> None:
    broker = EmbeddedBroker(0)
    broker.start()
    begun = time.monotonic()
    try:
        assert main(["watch", "--host", "127.0.0.1", "--port", str(broker.port), "--for", "0.5"]) == 0
    finally:
        broker.close()
    assert time.monotonic() - begun < CONNECT_SECONDS
    assert "connected to" in capsys.readouterr().out


def test_the_whole_chain_over_a_real_broker(config: Path, tmp_path: Path) -> None:
    """Camera to subscriber: `fer-edge run` publishes to mosquitto, `fer-edge watch --json` prints what arrives."""
    with Mosquitto(tmp_path / "broker") as broker:
        text = config.read_text().replace("enabled: false", f"broker: 127.0.0.1, port: {broker.port}")
        config.write_text(text.replace("pace: max", "pace: real"))
        watch = [*COMMAND, "watch", "-c", str(config), "--json", "--until-offline"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watcher:
            try:
                wait_for(lambda: "fer-edge/+/event" in broker.log.read_text(), "a subscription")
                assert main(["run", "-c", str(config)]) == 0
                out, _ = watcher.communicate(timeout=30 * PATIENCE)
            finally:
                watcher.kill()
    events = [json.loads(line) for line in out.splitlines()]
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == events
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["track_id"] for event in events} == {1, 2, 3}


def lines_in(file: Path) -> int:
    """-1: there is no such file yet."""
    return file.read_text().count("\n") if file.exists() else -1


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


def test_sigterm_and_sigint_end_every_face_and_the_process(config: Path, tmp_path: Path) -> None:
    """A real process, a real signal, at several moments of its life."""
    config.write_text(config.read_text().replace("pace: max", "pace: real, loop: true"))
    events = tmp_path / "events.jsonl"
    for number, wanted in ((signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 0)):
        events.unlink(missing_ok=True)
        with started(config) as daemon:
            wait_for(lambda: ended(daemon) or lines_in(events) >= wanted, "its first events")  # noqa: B023
            assert not ended(daemon)
            daemon.send_signal(number)
            _, errors = daemon.communicate(timeout=10 * PATIENCE)
        assert daemon.returncode == 0
        assert "Traceback" not in errors
        kinds = [json.loads(line)["event_type"] for line in events.read_text().splitlines()]
        assert kinds.count("start") == kinds.count("end") >= wanted


def test_a_second_daemon_is_refused(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("pace: max", "pace: real, loop: true"))
    with started(config) as first:
        wait_for((tmp_path / "events.jsonl").exists, "the first daemon's file")
        again = [*COMMAND, "run", "-c", str(config)]
        second = subprocess.run(again, capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
        first.kill()  # and a killed one leaves nothing behind that would stop the next
    assert second.returncode == 1
    assert f"is already running (process {first.pid})" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    config.write_text(config.read_text().replace("pace: real, loop: true", "pace: max"))
    assert main(["run", "-c", str(config)]) == 0


def test_closed_standard_streams_are_no_trouble(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m fer_edge analyze {ASTRONAUT} --still --jsonl {tmp_path}/o >&- 2>&-"
    assert subprocess.run(["bash", "-c", shell], timeout=60 * PATIENCE, check=False).returncode == 0
    assert (tmp_path / "o").read_text().count("\n") == 1


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    for command in ("check --schema", f"analyze {ASTRONAUT} --still"):
        shell = f"{sys.executable} -m fer_edge {command} >/dev/full"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_elsewhere_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("fer_edge.commands.analyze.command.analyze", interrupted)
    assert main(["analyze", "demo"]) == 130


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """A file that stands for the journal's stream, as systemd would name it in a service's environment."""
    with (tmp_path / "journal").open("w+b") as file:
        stream = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stream.st_dev}:{stream.st_ino}")
        yield file


def test_lines_carry_priorities_in_the_journal(config: Path, tmp_path: Path, journal: BinaryIO) -> None:
    subprocess.run([*COMMAND, "run", "-c", str(config)], stderr=journal, timeout=60 * PATIENCE, check=True)
    (tmp_path / "bad.yaml").write_text("camera: {fsp: 3}\n")
    done = subprocess.run(
        [*COMMAND, "run", "-c", str(tmp_path / "bad.yaml")], stderr=journal, timeout=60 * PATIENCE, check=False
    )
    assert done.returncode == os.EX_CONFIG
    journal.seek(0)
    lines = journal.read().decode()
    assert "<6>the source has ended" in lines
    assert f"<3>fer-edge: {tmp_path}/bad.yaml:1: section camera" in lines


def test_lines_are_plain_where_only_the_parent_writes_to_the_journal(tmp_path: Path, journal: BinaryIO) -> None:
    (tmp_path / "bad.yaml").write_text("camera: {fsp: 3}\n")
    command = [*COMMAND, "check", "-c", str(tmp_path / "bad.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.stderr.startswith("fer-edge: ")
