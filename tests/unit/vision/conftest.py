"""What several tests of models need."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.changed_models import MODELS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the expression model and its card."""
    for name in ("expression.json", "expression.tflite"):
        shutil.copy(MODELS / name, tmp_path)
    return tmp_path
