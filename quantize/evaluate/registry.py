"""What measuring needs of each role, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.vision.detector import Detector
from fer_edge.vision.tflite import Model
from quantize.data.sets import SPLITS, DataError
from quantize.evaluate import detector, expression, intensity, landmarks, robustness, varied


def nowhere(_model: Model, _data: Path) -> dict[str, Any]:
    """There is no second set."""
    return {}


def on_varied(model: Model, data: Path) -> dict[str, Any]:
    """A detector's figures on varied photos and masked faces, and the daemon's with it and the published models."""
    alone = {f"varied_{name}": value for name, value in asdict(varied.of_model(model, data)).items()}
    pipeline = Pipeline(Config())
    pipeline.detector = Detector(model, pipeline.config.detector)
    daemon = {f"daemon_{name}": value for name, value in asdict(varied.of_daemon(pipeline, data)).items()}
    return alone | daemon | varied.of_masks(model, data)


@dataclass(frozen=True, slots=True)
class Measuring:
    """How a role's model is measured; a `Result` is that of its module."""

    splits: tuple[str, ...]  # the default first
    gate: str  # the split that decides about publishing
    data: str  # what can be measured on
    run: Callable[..., Any]  # (model, data, split=) -> Result
    table: Callable[..., list[str]]  # (figures) -> lines for people
    conditions: Callable[..., robustness.Conditions]  # (model, Result) -> figures by condition
    elsewhere: Callable[..., dict[str, Any]] = nowhere  # (model, data) -> figures on a second set that gates, too

    def figures(self, model: Model, data: Path, *, split: str) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self.run(model, data, split=split).figures)


MEASURING = {
    "expression": Measuring(
        splits=expression.SPLITS,
        gate="test",
        data="ferplus.npz, or the folder it is from",
        run=expression.run,
        table=expression.table,
        conditions=robustness.of_expression,
    ),
    "detector": Measuring(
        splits=SPLITS,
        gate="heldout",
        data="crowd_faces.zip, or another zip or folder with boxes.csv",
        run=detector.run,
        table=detector.table,
        conditions=robustness.of_detector,
        elsewhere=on_varied,
    ),
    "landmarks": Measuring(
        splits=SPLITS,
        gate="heldout",
        data="landmarks68.zip, or another zip or folder with points68.csv",
        run=landmarks.run,
        table=landmarks.table,
        conditions=robustness.of_landmarks,
    ),
    "intensity": Measuring(
        splits=intensity.SPLITS,
        gate="heldout",
        data="a folder with mesh/, which quantize.data.mesh_labels writes",
        run=intensity.run,
        table=intensity.table,
        conditions=intensity.conditions,
    ),
}
TOGETHER = ("expression", "detector", "landmarks")  # the roles without which the daemon does not run


def draw(role: str, result: Any, folder: Path) -> None:
    """Draw a Result as PNG files. Raises DataError where matplotlib is missing."""
    try:
        from quantize.evaluate import plots
    except ImportError as error:
        raise DataError(f"plots: {error}; run: pip install 'fer-edge[quantize]'") from None
    getattr(plots, f"plot_{role}")(result, folder)
