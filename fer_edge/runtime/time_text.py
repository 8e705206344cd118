"""Times, durations and figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def local(at_s: float) -> datetime:
    """A moment by the local clock."""
    return datetime.fromtimestamp(at_s, UTC).astimezone()


def clock_text(at_s: float, *, wall: bool, seconds: bool = True) -> str:
    """A time: local date and time, or h:mm:ss of a film."""
    if wall:
        return local(at_s).strftime("%Y-%m-%d %H:%M" + (":%S" if seconds else ""))
    whole = int(at_s)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def span_text(seconds: float) -> str:
    """A duration, as in "1 h 20 min", "35 s", "0.8 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24, 1):,.12g} days"


def figure_text(value: float) -> str:
    """A figure, with no more digits than it needs: "0.035", "4.2", "1,234"."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2g}"
