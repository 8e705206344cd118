"""The figures as pictures: PNG files, drawn by matplotlib without a screen. It is imported by who draws only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fer_edge.records import LABELS
from fer_edge.vision.classifier import softmax
from quantize import metrics
from quantize.evaluate import detector, expression, intensity, landmarks
from quantize.evaluate.detector import LOWEST_SCORE, DetectorFigures
from quantize.evaluate.expression import Answers, ExpressionFigures
from quantize.evaluate.landmarks import LandmarksFigures, Placed
from quantize.metrics import Curve

DPI = 120
BLUE, ORANGE, GRAY = "#2a6fbb", "#d9782d", "#8a8a8a"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
MOST_ERROR = 0.15  # eye distances, where the errors' axis ends


def _page(title: str, *, width: float = 6.4, height: float = 5.2) -> tuple[Figure, Any]:
    """An empty figure and its axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


# --- expression ----------------------------------------------------------------------------------------------


def plot_expression(result: expression.Result, folder: Path) -> None:
    """Draw the figures of a pass over FER+."""
    confusion(result.figures, folder / "expression_confusion.png")
    reliability(result.answers, result.figures, folder / "expression_reliability.png")


def confusion(figures: ExpressionFigures, path: Path) -> None:
    """Draw the confusion matrix: shares of each row, and counts."""
    counts = np.array(figures.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _page(f"{figures.set}\naccuracy {figures.accuracy:.1%}, macro F1 {figures.macro_f1:.3f}", width=7.2)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{shares[row, column]:.0%}\n{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=40, ha="right")
    axes.set_yticks(
        range(len(LABELS)), [f"{label} ({count})" for label, count in zip(LABELS, counts.sum(axis=1), strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("right (pictures)")
    figure.colorbar(picture, ax=axes, label="share of the row")
    _save(figure, path)


def reliability(answers: Answers, figures: ExpressionFigures, path: Path) -> None:
    """Draw how often the model is right when it is so sure, and how often it is so sure."""
    bins = metrics.reliability(softmax(answers.logits, temperature=figures.temperature), answers.labels)
    edges, width = np.arange(metrics.ECE_BINS) / metrics.ECE_BINS, 1 / metrics.ECE_BINS
    title = f"{figures.set}\ncalibration error {figures.ece:.3f} at temperature {figures.temperature:g}"
    figure, axes = _page(title)
    some = bins.count > 0
    axes.bar(edges[some], bins.accuracy[some], width, align="edge", color=BLUE, edgecolor="white", label="right")
    axes.plot(bins.confidence[some], bins.accuracy[some], "o", color=ORANGE, markersize=4, label="mean of the bin")
    axes.plot([0, 1], [0, 1], "--", color=GRAY, linewidth=1, label="perfect")
    for edge, count, height in zip(edges[some], bins.count[some], bins.accuracy[some], strict=True):
        axes.text(edge + width / 2, height + 0.01, str(count), ha="center", fontsize=6, color=GRAY, bbox=WHITE)
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="confidence (15 bins; above each its pictures)", ylabel="share right")
    axes.legend(frameon=False, loc="upper left")
    _save(figure, path)


# --- detector ------------------------------------------------------------------------------------------------


def plot_detector(result: detector.Result, folder: Path) -> None:
    """Draw the figures of a pass over photos."""
    curve = detector.curve(result.findings)
    precision_recall(curve, result.figures, folder / "detector_precision_recall.png")


def precision_recall(curve: Curve, figures: DetectorFigures, path: Path) -> None:
    """Draw precision against recall, and where the daemon's default threshold lies."""
    figure, axes = _page(f"{figures.set}\naverage precision {figures.ap:.3f}, {figures.faces} faces")
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    axes.plot(curve.recall, curve.precision, color=BLUE, linewidth=0.8, alpha=0.5, label="as measured")
    axes.step(
        curve.recall, envelope, where="pre", color=BLUE, linewidth=1.8, label="best from there on (its area is the AP)"
    )
    taken = int(np.sum(curve.scores >= figures.threshold))
    if taken:
        point = (curve.recall[taken - 1], curve.precision[taken - 1])
        axes.plot(*point, "o", color=ORANGE, label=f"score {figures.threshold:g}, the daemon's default")
    axes.set(
        xlim=(0, 1.01), ylim=(0, 1.02), xlabel=f"recall (boxes down to score {LOWEST_SCORE:g})", ylabel="precision"
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower left")
    _save(figure, path)


# --- landmarks -----------------------------------------------------------------------------------------------


def plot_intensity(result: intensity.Result, folder: Path) -> None:
    """Draw intensity_correlations.png."""
    figures = result.figures
    figure, axes = _page(f"Correlation with the mesh: {figures.images} faces", width=7.2)
    axes.barh(list(figures.correlations), list(figures.correlations.values()))
    axes.axvline(intensity.LEAST_CORRELATION, linestyle="--")
    axes.set_xlim(0, 1)
    _save(figure, folder / "intensity_correlations.png")


def plot_landmarks(result: landmarks.Result, folder: Path) -> None:
    """Draw the figures of a pass over stills."""
    errors(result.placed, result.figures, folder / "landmarks_errors.png")


def errors(placed: Placed, figures: LandmarksFigures, path: Path) -> None:
    """Draw which share of the faces has at most which error."""
    figure, axes = _page(f"{figures.set}\n{figures.images} stills of {figures.people} people")
    limits = np.linspace(0, MOST_ERROR, 301)
    both: Sequence[tuple[Any, float, str, str]] = (
        (placed.inner, figures.nme51, "51 inner points", BLUE),
        (placed.errors.mean(axis=1), figures.nme68, "68 points", ORANGE),
    )
    for values, mean, name, color in both:
        axes.plot(limits, metrics.cumulative(values, limits), color=color, label=f"{name}: mean {mean:.4f}")
        axes.axvline(mean, color=color, linestyle=":", linewidth=1)
    axes.set(xlim=(0, MOST_ERROR), ylim=(0, 1.01), ylabel="share of faces with at most this error")
    axes.set_xlabel("mean error of a face, in distances of its outer eye corners")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    _save(figure, path)
