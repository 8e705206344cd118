"""What measuring needs of each role, behind one interface."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.vision.tflite import Model
from quantize import conditions, measure_detector, measure_expression, measure_landmarks
from quantize.data import SPLITS, DataError


@dataclass(frozen=True, slots=True)
class Measuring:
    """How a role's model is measured; a `Result` is that of its module."""

    splits: tuple[str, ...]  # the default first
    gate: str  # the split that decides about publishing
    data: str  # what can be measured on
    run: Callable[..., Any]  # (model, data, split=) -> Result
    table: Callable[..., list[str]]  # (figures) -> lines for people
    conditions: Callable[..., conditions.Conditions]  # (model, Result) -> figures by condition

    def figures(self, model: Model, data: Path, *, split: str) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self.run(model, data, split=split).figures)


MEASURING: Final = {
    "expression": Measuring(
        splits=measure_expression.SPLITS,
        gate="test",
        data="ferplus.npz, or the folder it is from",
        run=measure_expression.run,
        table=measure_expression.table,
        conditions=conditions.of_expression,
    ),
    "detector": Measuring(
        splits=SPLITS,
        gate="heldout",
        data="crowd_faces.zip, or another zip or folder with boxes.csv",
        run=measure_detector.run,
        table=measure_detector.table,
        conditions=conditions.of_detector,
    ),
    "landmarks": Measuring(
        splits=SPLITS,
        gate="heldout",
        data="landmarks68.zip, or another zip or folder with points68.csv",
        run=measure_landmarks.run,
        table=measure_landmarks.table,
        conditions=conditions.of_landmarks,
    ),
}


def draw(role: str, result: Any, folder: Path) -> None:
    """Draw a Result as PNG files. Raises DataError where matplotlib is missing."""
    try:
        from quantize import plots
    except ImportError as error:
        raise DataError(f"plots: {error}; run: pip install 'fer-edge[quantize]'") from None
    getattr(plots, role)(result, folder)
