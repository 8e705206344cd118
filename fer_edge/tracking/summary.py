"""What many faces did together: figures over an interval, without data of any single face.

Only counters are kept; dwell comes with a face's end event. An interval starts with a step and ends with the first
one after `interval_seconds`; that step's faces and events belong to the next. Time without steps is not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fer_edge.config import Summary as SummaryConfig
from fer_edge.records import LABELS, FaceEvent, FaceState, SignalSummary, Summary, ZoneSummary
from fer_edge.tracking.counters import NONE, FaceTimeCounter, SignalCounter, View, ZoneCounter, view


def sum_up(tally: FaceTimeCounter, min_visitors: int, zones: Collection[str] = ()) -> Summary:
    """The figures; all None where fewer than `min_visitors` faces came, the dwell where fewer left."""
    of_zones = {name: _of_zone(tally.zone(name), tally.watched_ns, min_visitors) for name in zones}
    if tally.visitors < min_visitors:
        return Summary(tally.start_ns, tally.end_ns, None, None, None, None, None, of_zones)
    return Summary(
        start_ns=tally.start_ns,
        end_ns=tally.end_ns,
        visitors=tally.visitors,
        mean_dwell_s=tally.dwell_s / tally.left if tally.left >= max(1, min_visitors) else None,
        seconds={label: tally.shown_ns[label] / 1e9 for label in (*LABELS, NONE)},
        mean_faces=tally.shown_ns.total() / tally.watched_ns,
        most_faces=tally.most_faces,
        zones=of_zones,
        signals={name: _of_signal(counter) for name, counter in tally.signals.items()},
    )


def _of_signal(counter: SignalCounter) -> SignalSummary:
    known_ns = counter.known_ns
    return SignalSummary(
        faces=counter.faces,
        lasting=counter.lasting,
        seconds=counter.on_ns / 1e9,
        share=counter.on_ns / known_ns if known_ns else None,
        mean=counter.sum_ns / known_ns if known_ns else None,
    )


def _of_zone(counter: ZoneCounter, watched_ns: int, min_visitors: int) -> ZoneSummary:
    if len(counter.entered) < min_visitors:
        return ZoneSummary()
    return ZoneSummary(
        visitors=len(counter.entered),
        visits=counter.visits,
        mean_dwell_s=counter.dwell_s / counter.left if counter.left >= max(1, min_visitors) else None,
        seconds={label: counter.shown_ns[label] / 1e9 for label in (*LABELS, NONE)},
        mean_faces=counter.shown_ns.total() / watched_ns,
        most_faces=counter.most_faces,
    )


class SummaryMaker:
    """Events and the state of all faces -> a summary per interval."""

    def __init__(self, config: SummaryConfig, zones: Collection[str] = ()) -> None:
        """`zones`: the names of those with their own figures; may be replaced at any time."""
        self._config, self.zones = config, zones
        self._interval: FaceTimeCounter | None = None
        self._shown: tuple[View, ...] = ()  # after the last step
        self._step_ns = 0

    def update(self, events: Sequence[FaceEvent], faces: Sequence[FaceState], now_ns: int) -> Summary | None:
        """Process a step; returns the summary of the interval that it completes, or None.

        Args:
            events: this step's events.
            faces: all confirmed faces; those in view count.
            now_ns: the frame's time.

        """
        if not self._config.interval_seconds:
            return None
        if self._interval is None:
            self._interval, self._step_ns = FaceTimeCounter(now_ns), now_ns
        self._interval.add_time(self._shown, self._step_ns, now_ns)
        summary, self._interval = self._close(self._interval, now_ns)
        self._shown = tuple(view(face) for face in faces if face.in_view)
        self._interval.add_step(events, self._shown)
        self._step_ns = now_ns
        return summary

    def _close(self, interval: FaceTimeCounter, now_ns: int) -> tuple[Summary | None, FaceTimeCounter]:
        """The summary, if the interval is over, and the interval that goes on or begins."""
        if now_ns - interval.start_ns < self._config.interval_seconds * 1e9:
            return None, interval
        if not interval.watched_ns:  # the camera has been lost since its first step: it begins now
            interval.start_ns = now_ns
            return None, interval
        return sum_up(interval, self._config.min_visitors, self.zones), FaceTimeCounter(now_ns)
