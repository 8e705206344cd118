"""A day of visitors whose numbers are known, from what networks would say to the report's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import day


def test_a_day_is_reported_within_two_per_cent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    found = {name: (planned, got) for name, planned, got in day.measure(tmp_path, pixels=False)}
    assert found["visitors"][0] == sum(day.PER_HOUR)
    for name, (planned, got) in found.items():
        assert got == pytest.approx(planned, rel=day.WITHIN), name
    assert len(found) > 12
    assert "370" in (tmp_path / "day.html").read_text()
