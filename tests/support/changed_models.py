"""A model's card to change, and the model to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fer_edge.vision.model_card import models_folder
from fer_edge.vision.tflite import Model

MODELS = models_folder()


def edit(folder: Path, **changes: Any) -> None:
    """Change the card; a dotted change such as input__color goes one level down."""
    path = folder / "expression.json"
    card = json.loads(path.read_text())
    for key, value in changes.items():
        outer, _, inner = key.partition("__")
        if inner:
            card[outer][inner] = value
        elif value is None:
            del card[outer]
        else:
            card[outer] = value
    path.write_text(json.dumps(card))


def load(folder: Path, role: Any = "expression") -> Model:
    return Model(folder, "expression", role=role)
