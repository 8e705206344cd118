"""Measures this machine: what each stage and each model costs, frames per second, CPU and memory."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from fer_edge.board.describe import clock_mhz
from fer_edge.board.health import Health, read_health
from fer_edge.camera import open_camera, shown
from fer_edge.camera.sources import source_config
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline, load_models
from fer_edge.records import Frame
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.meter import peak_rss_mb, percentiles, rss_mb
from fer_edge.vision.tflite import Model, runtime_name

WARM_UP = 10  # frames or runs; the first inferences pay for memory that the later ones find ready

RUNS = 300  # of each model, after WARM_UP

STAGES = ("detect", "landmarks", "classify", "track", "total")


def bench(config: Config, source: str, *, frames: int, as_json: bool, camera: str | None = None) -> None:
    """Run a source through the pipeline, decoding left out, and print what it cost. `camera`: whose settings these are,
    where there are several."""
    figures = {"camera": camera} | measure(config, source, frames=frames)
    if as_json:
        print(json.dumps(figures))  # noqa: T201 - this is the command's output
    else:
        _print(figures)


def bench_models(config: Config, *, as_json: bool) -> None:
    """Run each configured model on its own, at the input that its card names, and print what it costs.

    Raises:
        ModelError: one is missing or wrong.

    """
    figures = measure_models(config)
    if as_json:
        print(json.dumps(figures))  # noqa: T201 - this is the command's output
    else:
        _print_models(figures)


def measure_models(config: Config) -> dict[str, Any]:
    """The figures of `fer-edge bench --models`. Raises ModelError."""
    return {
        "threads": config.models.threads,
        "runtime": runtime_name(config.models.runtime),
        "delegate": config.models.delegate,
        "runs": RUNS,
        "models": [measure_model(model) for model in load_models(config.models)],
    }


def measure_model(model: Model) -> dict[str, Any]:
    """A model's card in numbers, and the ms from a picture to its outputs as real numbers."""
    card, spent = model.card, []
    _, height, width, channels = card.input.shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(WARM_UP + RUNS):
        begun = time.perf_counter()
        model.infer(picture)
        spent.append(1e3 * (time.perf_counter() - begun))
    p50, p95 = percentiles(spent[WARM_UP:])
    return {
        "role": card.role,
        "name": card.name,
        "input": list(card.input.shape),
        "dtype": card.input.dtype,
        "macs": card.macs,
        "parameters": card.parameters,
        "bytes": card.bytes,
        "delegate": {"taken": model.share.taken, "nodes": model.share.nodes} if model.share else None,
        "median_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
    }


def measure(config: Config, source: str, *, frames: int) -> dict[str, Any]:
    """The figures of `fer-edge bench`; a source that is too short is repeated.

    Raises:
        CameraError: the source cannot be read.

    """
    pipeline, spent, faces = Pipeline(config), defaultdict[str, list[float]](list), 0
    cpu_seconds, wall_seconds, count, runs = 0.0, 0.0, 0, [0, 0, 0]
    for frame in _frames(config, source, limit=WARM_UP + frames):
        cpu, wall = time.process_time(), time.perf_counter()
        update = pipeline.step(frame)
        if frame.seq < WARM_UP:
            runs = [model.runs for model in pipeline.models]
            continue
        cpu_seconds += time.process_time() - cpu
        wall_seconds += time.perf_counter() - wall
        count += 1
        faces += sum(not track.misses for track in update.tracks)
        for name, ms in update.timings_ms.items():
            spent[name].append(ms)
    return {
        "source": shown(source),
        "frames": count,
        "faces_per_frame": round(faces / count, 2),
        "threads": config.models.threads,
        "runtime": runtime_name(config.models.runtime),
        "delegate": config.models.delegate,
        "fps": round(count / wall_seconds, 1),
        "mean_ms": round(1e3 * wall_seconds / count, 2),
        "cpu_percent": round(100 * cpu_seconds / wall_seconds),
        "rss_mb": round(rss_mb(), 1),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "runs_per_frame": {
            model.card.role: round((model.runs - before) / count, 3)
            for model, before in zip(pipeline.models, runs, strict=True)
        },
        "stages_ms": {name: _summary(spent[name], count) for name in STAGES if name in spent},
    }


@dataclass(frozen=True, slots=True)
class Slice:
    """A few seconds of work without a pause."""

    seconds: float  # since the start, at its end
    fps: float
    health: Health
    clock_mhz: int | None


def sustain(config: Config, *, seconds: float, every: float) -> Iterator[Slice]:
    """Run the demo as fast as it goes; a slice every so many seconds."""
    pipeline, count = Pipeline(config), 0
    begun = last = time.monotonic()
    for frame in _frames(config, "demo"):
        pipeline.step(frame)
        count += 1
        if (now := time.monotonic()) - last >= every:
            yield Slice(now - begun, count / (now - last), read_health(), clock_mhz())
            count, last = 0, time.monotonic()
        if now - begun >= seconds:
            return


def _frames(config: Config, source: str, *, limit: float = math.inf) -> Iterator[Frame]:
    camera = open_camera(msgspec.structs.replace(source_config(config.camera, source), loop=True))
    try:
        while (frame := camera.read()) is not None and frame.seq < limit:
            yield frame
    finally:
        camera.close()


def _summary(values: list[float], frames: int) -> dict[str, float]:
    """Of the frames in which a stage ran: p50 and p95; and its mean over all frames."""
    p50, p95 = percentiles(values)
    return {
        "p50": round(p50, 2),
        "p95": round(p95, 2),
        "mean_per_frame": round(sum(values) / frames, 2),
        "share_of_frames": round(len(values) / frames, 2),
    }


def _print(figures: dict[str, Any]) -> None:
    table = Table(
        "stage",
        "p50 ms",
        "p95 ms",
        "mean ms/frame",
        "ran in, of all frames",
        title=f"fer-edge bench {figures['source']}"
        + (f", settings of {figures['camera']}" if figures["camera"] else ""),
    )
    for name, row in figures["stages_ms"].items():
        cells = (
            f"{row['p50']:.2f}",
            f"{row['p95']:.2f}",
            f"{row['mean_per_frame']:.2f}",
            f"{row['share_of_frames']:.0%}",
        )
        table.add_row(name, *cells, end_section=name == STAGES[-2])
    console = Console()
    console.print(table)
    console.print(
        f"{figures['fps']:.0f} frames/s over {counted(figures['frames'], 'frame')} "
        f"with {figures['faces_per_frame']:.1f} faces each; "
        f"CPU {figures['cpu_percent']} % of one core meanwhile; "
        f"memory {figures['rss_mb']:.0f} MB (peak {figures['peak_rss_mb']:.0f} MB); "
        f"{_machinery(figures)}",
        highlight=False,
    )


def _machinery(figures: dict[str, Any]) -> str:
    """What ran the models, in words."""
    return ", ".join(filter(None, (counted(figures["threads"], "thread"), figures["runtime"], figures["delegate"])))


def _print_models(figures: dict[str, Any]) -> None:
    table = Table("model", "input", title="fer-edge bench --models")
    for name in ("MMACs", "parameters", "bytes", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    for row in figures["models"]:
        _, height, width, _ = row["input"]
        table.add_row(
            row["name"],
            f"{width}x{height} {row['dtype']}",
            "?" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}",
            "?" if row["parameters"] is None else f"{row['parameters']:,}",
            f"{row['bytes']:,}",
            f"{row['median_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
        )
    console = Console()
    console.print(table)
    console.print(f"{counted(figures['runs'], 'run')} each; {_machinery(figures)}", highlight=False)
    parts = [(row["role"], row["delegate"]) for row in figures["models"] if row["delegate"]]
    if parts:
        shown = ", ".join(f"{role} {part['taken']} of {part['nodes']}" for role, part in parts)
        console.print(f"nodes on the delegate: {shown}", highlight=False)
