"""Runs that are stopped, killed or run out of space, and gone on with: in the end files are as they would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import cv2
import msgspec
import pytest

from fer_edge.camera.sources import open_source
from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.analyze.checkpoint import SUFFIX, pack, unpack
from fer_edge.commands.analyze.lines import looks
from fer_edge.config import Config
from fer_edge.errors import ConfigError, Interrupted, SinkError
from fer_edge.pipeline import Pipeline, PipelineSnapshot
from fer_edge.records import Image
from fer_edge.runtime.sealed_file import unseal
from fer_edge.testing.brokers import wait_for
from tests.support.films import NAMES, decoded, digests, json_lines, pan, wanted, write_avi
from tests.support.full_disk import disk_that_ends_at

FRAMES = 300
QUICK = tuple(name for name in NAMES if name != "report")  # its charts take a second each time
RESUME = f"out.jsonl{SUFFIX}"


class StopAfter(Event):
    """Set from its n-th look on."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left <= 0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Path:
    """Ten seconds in which faces come and go."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    write_avi(path, pan(astronaut, FRAMES))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, film: Path) -> dict[str, str]:
    """What a run that nothing disturbs leaves."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert analyze(Config(), wanted(folder, film)) == 0
    found = digests(folder)
    assert sorted(found) == sorted(NAMES.values()), "nothing else is left"
    return found


def quick(whole: dict[str, str]) -> dict[str, str]:
    """What a run that nothing disturbs leaves, without the report."""
    return {name: digest for name, digest in whole.items() if name != NAMES["report"]}


def gone_on_with(options: AnalyzeOptions) -> int:
    return analyze(Config(), replace(options, resume=True))


@pytest.mark.parametrize("frames", [1, 250, FRAMES])
def test_a_run_that_was_stopped_and_resumed_leaves_the_same(
    tmp_path: Path, film: Path, whole: dict[str, str], frames: int
) -> None:
    folder = tmp_path / "out"
    options = wanted(folder, film, save_seconds=0.0)
    with pytest.raises(Interrupted, match=r"stopped at 0:00:\d\d of .*film\.avi; .*continue with the same command and"):
        analyze(Config(), options, StopAfter(frames))
    lines, events = json_lines(folder / "out.jsonl"), json_lines(folder / "events.jsonl")
    assert len(lines) == frames
    assert len(decoded(folder / "out.mp4")[0]) == frames
    started, ended = ([e["track_id"] for e in events if e["event_type"] == kind] for kind in ("start", "end"))
    assert sorted(started) == sorted(ended), "every start has an end"
    assert "The run was stopped at" in (folder / "out.html").read_text()
    assert (folder / "out.parquet").read_bytes()[-4:] == b"PAR1"
    assert gone_on_with(options) == 0
    assert digests(folder) == whole


def arrays(value: object) -> int:
    """The longest run of bytes in what a checkpoint holds, outputs left out."""
    if isinstance(value, dict):
        return max((arrays(inner) for key, inner in value.items() if key != "outputs"), default=0)
    if isinstance(value, list):
        return max(map(arrays, value), default=0)
    return len(value) if isinstance(value, bytes) else 0


def test_what_is_kept_to_resume_holds_no_picture(tmp_path: Path, film: Path) -> None:
    """Not a small one, either: the largest array is 68 landmarks."""
    options = wanted(tmp_path / "out", film, only=QUICK, save_seconds=0.0)
    with pytest.raises(Interrupted):
        analyze(Config(), options, StopAfter(250))
    (path,) = (tmp_path / "out").glob("*.resume")
    assert arrays(msgspec.msgpack.decode(unseal(path.read_bytes()))) <= 68 * 2 * 8


def test_it_can_be_stopped_again_and_again(tmp_path: Path, film: Path, whole: dict[str, str]) -> None:
    options = wanted(tmp_path / "out", film, only=QUICK, save_seconds=0.0)
    with pytest.raises(Interrupted):
        analyze(Config(), options, StopAfter(250))
    for frames in (10, 280):  # while it still reads what it knows, and later
        with pytest.raises(Interrupted):
            analyze(Config(), replace(options, resume=True), StopAfter(frames))
    assert gone_on_with(options) == 0
    assert digests(tmp_path / "out") == quick(whole)


def command(options: AnalyzeOptions) -> list[str]:
    outputs = [part for name, path in options.files().items() for part in (f"--{name}", path)]
    return [sys.executable, "-m", "fer_edge", "analyze", *options.sources, "--save-every", "0", *outputs]


@pytest.mark.parametrize(
    ("number", "bytes_first"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 120_000), (signal.SIGKILL, 1), (signal.SIGKILL, 120_000)],
)
def test_signals(tmp_path: Path, film: Path, whole: dict[str, str], number: signal.Signals, bytes_first: int) -> None:
    folder = tmp_path / "out"
    options = wanted(folder, film, only=QUICK)
    with subprocess.Popen(command(options), stderr=subprocess.PIPE, text=True) as process:
        lines = folder / "out.jsonl"
        wait_for(lambda: lines.exists() and lines.stat().st_size >= bytes_first, "enough lines", seconds=60)
        process.send_signal(number)
        _, reported = process.communicate(timeout=60)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert reported.startswith("fer-edge: stopped at 0:00:")
        assert reported.count("\n") == 1
    done = len(json_lines(lines))
    assert 0 < done < FRAMES
    if (folder / "out.mp4").stat().st_size:
        assert done - 120 <= len(decoded(folder / "out.mp4")[0]) <= done
    assert gone_on_with(options) == 0
    assert digests(folder) == quick(whole)


def test_a_full_disk(tmp_path: Path, film: Path, whole: dict[str, str]) -> None:
    folder = tmp_path / "out"
    options = wanted(folder, film, only=QUICK, save_seconds=0.0)
    with (
        disk_that_ends_at(180_000),
        pytest.raises(SinkError, match=r"out\.jsonl: cannot write any more: File too large; .* --resume"),
    ):
        analyze(Config(), options)
    assert 150 < len(json_lines(folder / "out.jsonl")) < FRAMES
    decoded(folder / "out.mp4")
    assert gone_on_with(options) == 0
    assert digests(folder) == quick(whole)


def test_several_sources_and_a_bad_one_between(tmp_path: Path, film: Path) -> None:
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(film.read_bytes()[: film.stat().st_size // 3])
    sources = (film, damaged, tmp_path / "absent.avi", film)
    kinds = ("jsonl", "csv", "events", "report")
    counts = []
    for name, frames in (("a", None), ("b", 330)):
        options = wanted(tmp_path / name, *sources, only=kinds, save_seconds=0.0)
        if frames:
            with pytest.raises(Interrupted, match=r"of .*damaged\.avi \(source 2 of 4\)"):
                analyze(Config(), options, StopAfter(frames))
        counts.append(gone_on_with(options) if frames else analyze(Config(), options))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert counts[0] == counts[1] == 2
    events = json_lines(tmp_path / "a" / "events.jsonl")
    runs = {event["boot_id"]: Path(event["source"]).name for event in events}
    assert list(runs.values()) == ["film.avi", "damaged.avi", "film.avi"], "the same film twice is two runs"
    for boot_id in runs:
        assert next(event["seq"] for event in events if event["boot_id"] == boot_id) == 1
    page = (tmp_path / "a" / "out.html").read_text()
    for words in ("Faces in 4 films", "ended after", "absent.avi does not exist", "film.avi from 0:00:00"):
        assert words in page


def touched(film: Path, options: AnalyzeOptions) -> AnalyzeOptions:
    os.utime(film, (1, 1))
    return options


def with_other_options(_: Path, options: AnalyzeOptions) -> AnalyzeOptions:
    return replace(options, still=True)


def emptied(film: Path, options: AnalyzeOptions) -> AnalyzeOptions:
    (film.parent / "out" / "out.csv").write_text("")
    return options


def spoilt(film: Path, options: AnalyzeOptions) -> AnalyzeOptions:
    (film.parent / "out" / RESUME).write_bytes(b"\x00rubbish")
    return options


def forgotten(film: Path, options: AnalyzeOptions) -> AnalyzeOptions:
    (film.parent / "out" / RESUME).unlink()
    return options


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (touched, "the run was begun with other sources; start over without --resume"),
        (with_other_options, "the run was begun with other options"),
        (emptied, r"out\.csv: is shorter than the run left it"),
        (spoilt, "cannot be read"),
        (forgotten, "there is nothing to resume: no run was interrupted"),
    ],
)
def test_what_cannot_be_gone_on_with(
    tmp_path: Path, film: Path, change: Callable[[Path, AnalyzeOptions], AnalyzeOptions], words: str
) -> None:
    copy = tmp_path / "copy.avi"
    copy.write_bytes(film.read_bytes())
    options = wanted(tmp_path / "out", copy, only=("jsonl", "csv"), save_seconds=0.0)
    with pytest.raises(Interrupted):
        analyze(Config(), options, StopAfter(130))
    options = change(copy, options)
    before = (tmp_path / "out" / "out.jsonl").read_bytes()
    with pytest.raises(SinkError, match=words) as error:
        gone_on_with(options)
    assert "\n" not in str(error.value)
    assert (tmp_path / "out" / "out.jsonl").read_bytes() == before


def test_another_configuration_cannot_go_on(tmp_path: Path, film: Path) -> None:
    options = wanted(tmp_path / "out", film, only=("jsonl",))
    with pytest.raises(Interrupted):
        analyze(Config(), options, StopAfter(1))
    other = msgspec.structs.replace(Config(), events=msgspec.structs.replace(Config().events, dwell_seconds=2.0))
    with pytest.raises(SinkError, match=r"out\.jsonl\.resume: the run was begun with other configuration; start over"):
        analyze(other, replace(options, resume=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (AnalyzeOptions(sources=["demo"], resume=True), "standard output or a pipe cannot be taken back"),
        (AnalyzeOptions(sources=["rtsp://me:x@cam/1"], csv="a", resume=True), r"rtsp://\*\*\*@cam/1 is live"),
    ],
)
def test_what_is_gone_is_gone(options: AnalyzeOptions, words: str) -> None:
    with pytest.raises(ConfigError, match=f"--resume: .*{words}"):
        analyze(Config(), options)


def test_pictures_with_everything_in_their_own_folder(tmp_path: Path, astronaut: Image) -> None:
    counts = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        for number, image in enumerate(pan(astronaut, 150)):
            cv2.imwrite(str(folder / f"{number:03d}.png"), image)
        options = wanted(folder, folder, only=("csv", "video"), draw=folder / "drawn", save_seconds=0.0, still=True)
        if name == "b":
            with pytest.raises(Interrupted):
                analyze(Config(), options, StopAfter(140))
            assert gone_on_with(options) == 0
        else:
            assert analyze(Config(), options) == 0
        (folder / "out.csv").write_text((folder / "out.csv").read_text().replace(str(folder), ""))
        counts.append({**digests(folder / "drawn"), "csv": (folder / "out.csv").read_text()})
        assert len(decoded(folder / "out.mp4")[0]) == 150
    assert counts[0] == counts[1]
    assert len(counts[0]) == 151


def test_a_run_that_cannot_be_gone_on_with_is_finished_where_it_stops(
    tmp_path: Path, film: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = replace(wanted(tmp_path / "out", film, only=("parquet", "video")), csv="-")
    with pytest.raises(Interrupted, match="what was read up to there is written; this run cannot be resumed"):
        analyze(Config(), options, StopAfter(50))
    assert len(capfd.readouterr().out.splitlines()) > 20
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["out.mp4", "out.parquet"]
    assert b"moof" not in (tmp_path / "out" / "out.mp4").read_bytes()


def test_a_pipeline_goes_on_in_another_process(film: Path) -> None:
    one, other = Pipeline(Config()), Pipeline(Config())
    camera, again = open_source(Config(), str(film)), open_source(Config(), str(film))
    seen = []
    for number, look in enumerate(looks(one, camera, str(film), still=False)):
        if number == 99:
            memory = pack(one.snapshot())
        seen.append(look)
        if number == 230:
            break
    for number, look in enumerate(looks(other, again, str(film), still=False, skip=100)):
        if number < 100:
            assert look is None
            other.restore(unpack(memory, PipelineSnapshot))
        else:
            expected = seen[number]
            assert look is not None
            assert expected is not None
            assert look.line == expected.line
            assert [e.seq for e in look.update.events] == [e.seq for e in expected.update.events]
        if number == 230:
            break
    camera.close()
    again.close()


def test_checkpoints_take_little_of_the_time(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    clock = iter(range(0, 10**6, 7))  # as if every look at the clock took seven seconds
    monkeypatch.setattr("fer_edge.commands.analyze.checkpoint.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(
        "fer_edge.commands.analyze.outputs.JsonLines.make", lambda self, stopped: begun.append(time.perf_counter())
    )
    analyze(Config(), wanted(tmp_path / "out", film, only=("jsonl",), save_seconds=1e5))
    assert len(begun) == 1, "only the one at the end"
