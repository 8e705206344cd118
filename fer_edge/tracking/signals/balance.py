"""The balance of a face's expressions: the positive share of the smoothed mix, minus the negative ones.

It shows how the mix of eight expressions leans, nothing else: no arousal, no mood.
"""

from __future__ import annotations

from fer_edge.config import Config
from fer_edge.records import LABELS, NEGATIVE, Floats, Reason, Track
from fer_edge.tracking.signals.signal import Measured, Signal

POSITIVE = ("happiness",)
_PLUS = [LABELS.index(label) for label in POSITIVE]
_MINUS = [LABELS.index(label) for label in NEGATIVE]


def balance(probabilities: Floats) -> float:
    """From -1, nothing but negative expressions, to 1, nothing but happiness; `probabilities`: f32[8]. Neutral and
    surprise count as neither."""
    return float(probabilities[_PLUS].sum() - probabilities[_MINUS].sum())


def _measure(track: Track, _: Config) -> Measured:
    if track.quality.reason is not None:
        return track.quality.reason
    return Reason.UNCERTAIN if track.expression is None else balance(track.expression.probabilities)


BALANCE = Signal(
    name="balance",
    words="balance of expressions",
    icon="scale-balance",
    enabled=lambda config: config.balance.enabled,
    measure=_measure,
)
