"""meter.py and instance.py: the daemon's own figures and name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fer_edge import instance
from fer_edge.config import Config, Device
from fer_edge.runtime.meter import Meter, Stopwatch, peak_rss_mb, percentiles, rss_mb


def test_a_stage_that_runs_twice_adds_up() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("read"):
            pass
    with pytest.raises(ValueError, match="counted all the same"), watch.stage("fail"):
        raise ValueError("counted all the same")
    timings = watch.read()
    assert set(timings) == {"read", "fail", "total"}
    assert timings["total"] >= timings["read"] >= 0


def test_an_interval_is_summed_up_and_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    figures = Meter(10)
    for spent in (1.0, 2.0, 3.0):
        figures.add({"total": spent}, latency_ms=10 * spent)
    assert figures.due(dropped_frames=0, damaged_frames=0) is None
    now[0] = 10.0
    stats = figures.due(dropped_frames=7, damaged_frames=2)
    assert stats is not None
    assert (stats.fps, stats.frames, stats.dropped_frames, stats.damaged_frames) == (0.3, 3, 7, 2)
    assert stats.stage_ms == {"total": (2.0, 2.9)}
    assert stats.latency_ms == (20.0, 29.0)
    now[0] = 20.0
    stats = figures.due(dropped_frames=7, damaged_frames=2)
    assert stats is not None
    assert (stats.fps, stats.frames, stats.latency_ms, stats.stage_ms) == (0.0, 3, (0.0, 0.0), {})


def test_percentiles() -> None:
    assert percentiles([1.0]) == (1.0, 1.0)
    assert percentiles([]) == (0.0, 0.0)


def test_the_device_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert instance.device_id(Config(device=Device(id="porch"))) == "porch"
    monkeypatch.setattr(instance, "MACHINE_ID", tmp_path / "machine-id")
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    first = instance.device_id(Config())
    assert first == instance.device_id(Config())
    assert len(first) == 12
    assert "0123456789" not in first  # machine-id(5): the id itself is not for publishing
    (tmp_path / "machine-id").write_text("uninitialized\n")
    monkeypatch.setattr("socket.gethostname", lambda: "pi.local!")
    assert instance.device_id(Config()) == "pi-local-"


def test_memory_is_in_mb_whatever_the_page_size() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert rss_mb() == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, rel=0.05)
    assert rss_mb() <= peak_rss_mb() * 1.01
