"""One text about a board's speed that its owner can send: measured figures, and beside them the expected ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fer_edge.board.describe import cores, describe, model
from fer_edge.board.expected import Board, all_cores_ms, board_of, one_core_ms, span
from fer_edge.board.health import Health, read_health
from fer_edge.commands.bench.measure import RUNS, STAGES, Slice, measure, measure_models, sustain
from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.runtime.atomic_file import FOR_ALL, replace_file
from fer_edge.runtime.count_text import counted

SLICES = 12
NOTHING = "–"

Row = Sequence[str]


def report(config: Config, target: str, *, frames: int, seconds: int) -> None:
    """Measure, and write the text to a file, or to standard output where that is `-`.

    Raises:
        ConfigError: the file cannot be written, which is found out before all the work.
        ModelError: a model is missing or wrong.

    """
    if target != "-":
        _check(Path(target))
    text = "\n".join(_text(config, frames=frames, seconds=seconds)) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    replace_file(Path(target), text.encode(), mode=FOR_ALL)
    _say(f"written: {target}; it holds no serial number, name or address")


def _check(target: Path) -> None:
    folder = target.absolute().parent
    if target.is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ConfigError(f"bench --report: {target}: expected a file in a folder that can be written; name another")


def _text(config: Config, *, frames: int, seconds: int) -> Iterator[str]:
    board, many = board_of(model()), cores()
    before = read_health()
    _say(f"1/3 the models, {RUNS} runs each with 1 and with {counted(many, 'thread')}")
    models = [measure_models(_with_threads(config, number))["models"] for number in (1, many)]
    _say(f"2/3 the demo, {counted(frames, 'frame')} with 1 and with {counted(many, 'thread')}")
    steps = [measure(_with_threads(config, number), "demo", frames=frames) for number in (1, many)]
    slices = _sustained(config, seconds)
    yield from ("# fer-edge bench --report", "")
    yield from _table(("", "this machine"), describe())
    yield from ("", f"Before: {_health_text(before)}. After: {_health_text(read_health())}.", "")
    yield _reference(board)
    yield from ("", "## Models, ms per run", "")
    heads = ("model", "MMAC", "1 thread: p50", "p95", "expected", f"{counted(many, 'thread')}: p50", "p95", "expected")
    yield from _table(heads, (_model_row(one, all_, board) for one, all_ in zip(*models, strict=True)))
    yield from ("", f"## Whole step, demo, 640x480, {counted(frames, 'frame')}", "")
    yield from _table(("", "1 thread", counted(many, "thread")), _step_rows(*steps))
    yield ""
    yield _expected_step(steps[0], models[0], board)
    if slices:
        yield from ("", f"## Without a pause, {seconds} s, {counted(config.models.threads, 'thread')}", "")
        yield from _table(("seconds", "frames/s", "SoC", "firmware", "clock"), map(_slice_row, slices))
        first, last = slices[0], slices[-1]
        yield from ("", f"From the first to the last part: {last.fps / first.fps - 1:+.0%} frames/s{_drift(slices)}.")


def _with_threads(config: Config, threads: int) -> Config:
    return msgspec.structs.replace(config, models=msgspec.structs.replace(config.models, threads=threads))


def _sustained(config: Config, seconds: int) -> list[Slice]:
    if not seconds:
        return []
    _say(f"3/3 the demo without a pause for {seconds} s")
    slices = []
    for part in sustain(config, seconds=seconds, every=max(1, seconds / SLICES)):
        slices.append(part)
        _say(f"    {part.seconds:3.0f} s: {part.fps:.0f} frames/s, {_health_text(part.health)}")
    return slices


def _say(text: str) -> None:
    """Progress."""
    print(f"bench: {text}", file=sys.stderr)  # noqa: T201


def _health_text(health: Health) -> str:
    degrees = "no temperature reported" if health.temperature_c is None else f"{health.temperature_c:.1f} C"
    return f"{degrees}, {_bits(health)}"


def _bits(health: Health) -> str:
    """The firmware's bits as a number and in words."""
    if health.throttled is None:
        return "the firmware reports nothing"
    return f"throttled={health.throttled:#x}" + (f" ({words})" if (words := health.words()) else "")


def _reference(board: Board | None) -> str:
    if board is None:
        return "Expected figures: none; docs/performance.md has none for this machine."
    return f"Expected figures: {board.name} ({board.cpu}), docs/performance.md, for its standard clock."


def _model_row(one: dict[str, Any], many: dict[str, Any], board: Board | None) -> Row:
    macs = one["macs"]
    known = board is not None and macs is not None
    alone = f"{one_core_ms(macs, board):.1f}" if known and board else NOTHING
    together = span(*all_cores_ms(macs, board)) if known and board else NOTHING
    timed = [f"{figures[key]:.2f}" for figures in (one, many) for key in ("median_ms", "p95_ms")]
    return one["name"], "?" if macs is None else f"{macs / 1e6:.1f}", *timed[:2], alone, *timed[2:], together


def _step_rows(*runs: dict[str, Any]) -> Iterator[Row]:
    yield "frames/s", *(f"{run['fps']:.1f}" for run in runs)
    yield "mean ms/frame", *(f"{run['mean_ms']:.2f}" for run in runs)
    for stage in STAGES:
        yield f"{stage}, p50 / p95 ms", *(_stage(run["stages_ms"].get(stage)) for run in runs)
    for role in runs[0]["runs_per_frame"]:
        yield f"{role} runs/frame", *(f"{run['runs_per_frame'][role]:.2f}" for run in runs)
    yield "CPU, % of one core", *(str(run["cpu_percent"]) for run in runs)
    yield "memory, MB (peak so far)", *(f"{run['rss_mb']:.0f} ({run['peak_rss_mb']:.0f})" for run in runs)


def _stage(figures: dict[str, float] | None) -> str:
    if figures is None:
        return NOTHING
    return f"{figures['p50']:.2f} / {figures['p95']:.2f} in {figures['share_of_frames']:.0%} of frames"


def _expected_step(step: dict[str, Any], models: list[dict[str, Any]], board: Board | None) -> str:
    """The models' part of a step with one thread, reckoned from the runs that were counted."""
    per_frame = step["runs_per_frame"]
    measured = sum(per_frame[each["role"]] * each["median_ms"] for each in models)
    rest = f"models {measured:.2f} of {step['mean_ms']:.2f} ms/frame"
    if board is None or any(each["macs"] is None for each in models):
        return f"With 1 thread: {rest}."
    expected = sum(per_frame[each["role"]] * one_core_ms(each["macs"], board) for each in models)
    return f"With 1 thread: {rest}; expected for the models {expected:.2f}."


def _slice_row(part: Slice) -> Row:
    degrees = NOTHING if part.health.temperature_c is None else f"{part.health.temperature_c:.1f} C"
    clock = NOTHING if part.clock_mhz is None else f"{part.clock_mhz} MHz"
    return f"{part.seconds:.0f}", f"{part.fps:.1f}", degrees, _bits(part.health), clock


def _drift(slices: Sequence[Slice]) -> str:
    degrees = [part.health.temperature_c for part in slices if part.health.temperature_c is not None]
    return f", {degrees[-1] - degrees[0]:+.1f} C, {max(degrees):.1f} C at most" if degrees else ""


def _table(heads: Row, rows: Iterable[Row]) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
