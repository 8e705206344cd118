"""What many faces did together: figures over an interval, with nothing in them of any single face.

Only counters are kept; dwell comes with a face's end event. An interval starts with a step and ends with the first
one after `interval_seconds`; that step's faces and events belong to the next. Time without steps is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fer_edge.config import Summary as SummaryConfig
from fer_edge.records import LABELS, EventType, FaceEvent, FaceState, Summary

NONE = "none"  # the key for faces without an expression
LOST_NS = 2_000_000_000  # steps that are further apart: the camera was away in between


@dataclass(slots=True)
class _Interval:
    """The counters of an interval."""

    start_ns: int
    end_ns: int = 0  # up to when it was watched
    visitors: int = 0
    left: int = 0  # faces that ended
    dwell_s: float = 0.0  # theirs, together
    most_faces: int = 0
    watched_ns: int = 0
    shown_ns: Counter[str] = field(default_factory=Counter)  # label or NONE -> face-nanoseconds

    def add_time(self, shown: Counter[str], from_ns: int, to_ns: int) -> None:
        """Count the time between two steps; `shown`: label or NONE -> faces that showed it then."""
        elapsed_ns = to_ns - from_ns
        if not 0 < elapsed_ns <= LOST_NS:
            return
        self.watched_ns += elapsed_ns
        self.end_ns = to_ns
        for label, faces in shown.items():
            self.shown_ns[label] += faces * elapsed_ns

    def add_step(self, events: Sequence[FaceEvent], shown: Counter[str]) -> None:
        """Count who came, who left and who is there."""
        ends = [event.dwell_s for event in events if event.event_type is EventType.END]
        self.visitors += sum(event.event_type is EventType.START for event in events)
        self.left += len(ends)
        self.dwell_s += sum(ends)
        self.most_faces = max(self.most_faces, shown.total())

    def sum_up(self, min_visitors: int) -> Summary:
        """The figures; all None where fewer than `min_visitors` faces came, the dwell where fewer left."""
        if self.visitors < min_visitors:
            return Summary(self.start_ns, self.end_ns, None, None, None, None, None)
        return Summary(
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            visitors=self.visitors,
            mean_dwell_s=self.dwell_s / self.left if self.left >= max(1, min_visitors) else None,
            seconds={label: self.shown_ns[label] / 1e9 for label in (*LABELS, NONE)},
            mean_faces=self.shown_ns.total() / self.watched_ns,
            most_faces=self.most_faces,
        )


class SummaryMaker:
    """Events and the state of all faces -> a summary per interval."""

    def __init__(self, config: SummaryConfig) -> None:
        self._config = config
        self._interval: _Interval | None = None
        self._shown = Counter[str]()  # after the last step: label or NONE -> faces
        self._step_ns = 0

    def update(self, events: Sequence[FaceEvent], faces: Sequence[FaceState], now_ns: int) -> Summary | None:
        """Take in a step; returns the summary of the interval that is over with it, or None.

        Args:
            events: what this step told.
            faces: all confirmed faces; the hidden ones count while they are open.
            now_ns: the frame's time.

        """
        if not self._config.interval_seconds:
            return None
        if self._interval is None:
            self._interval, self._step_ns = _Interval(now_ns), now_ns
        self._interval.add_time(self._shown, self._step_ns, now_ns)
        summary, self._interval = self._close(self._interval, now_ns)
        self._shown = Counter(face.expression or NONE for face in faces)
        self._interval.add_step(events, self._shown)
        self._step_ns = now_ns
        return summary

    def _close(self, interval: _Interval, now_ns: int) -> tuple[Summary | None, _Interval]:
        """The summary, if the interval is over, and the interval that goes on or begins."""
        if now_ns - interval.start_ns < self._config.interval_seconds * 1e9:
            return None, interval
        if not interval.watched_ns:  # the camera has been away since its first step: it begins now
            interval.start_ns = now_ns
            return None, interval
        return interval.sum_up(self._config.min_visitors), _Interval(now_ns)
