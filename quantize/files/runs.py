"""A training run on disk: a folder with `plan.json` and, after its first epoch, `last.npz`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantize.data.sets import DataError
from quantize.files import cards

PLAN = "plan.json"


def read_plan(run: Path, role: str | None = None) -> dict[str, Any]:
    """Read a run's plan, of this role where one is given. Raises DataError."""
    path = run / PLAN
    try:
        plan = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; expected a folder that quantize.train wrote") from None
    if not isinstance(plan, dict) or not isinstance(plan.get("options"), dict):
        raise DataError(f"{path}: not the plan of a run; expected a folder that quantize.train wrote")
    if role is not None and plan.get("role") != role:
        raise DataError(f"{path}: expected a run of role {role!r}, got {plan.get('role')!r}")
    return plan


def write_plan(run: Path, plan: dict[str, Any]) -> None:
    """Write a run's plan in one step. Raises OSError."""
    cards.write({run / PLAN: (json.dumps(plan) + "\n").encode()})
