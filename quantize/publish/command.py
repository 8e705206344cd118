"""Publish: `python -m quantize.publish detector --data data --run runs/detector`.

Both files of the run are measured as quantize.evaluate does, on pictures kept from training. Past
a failed gate nothing reaches models/. A floor that the published model misses too is replaced by its figure: a model
that is nearer to the floor may take its place, and its card lists what it misses. When all three are there,
`python -m quantize.publish together --data data` adds to their cards how they fare by age, gender and race, and from
picture to expression.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fer_edge.errors import ModelError
from quantize.daemon_stages import open_model
from quantize.data.sets import DataError
from quantize.evaluate import end_to_end, fairness, intensity
from quantize.evaluate.registry import MEASURING, TOGETHER
from quantize.evaluate.robustness import Conditions
from quantize.files import cards
from quantize.publish.gates import FLOORS, Candidate, examine, failed, figure, missed

NOT_IN_CARDS = ("confusion",)  # what per_class sums up


class GateError(ValueError):
    """A model is not good enough; one line for each gate it failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        lines = options.do(options)
    except (DataError, GateError, ModelError, OSError) as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.publish", description="Put a run's int8 model into models/.")
    whats = parser.add_subparsers(metavar="WHAT", required=True)
    for role in MEASURING:
        own = whats.add_parser(role, help=f"the {role} model of a run, if it is good enough")
        own.add_argument("--run", type=Path, required=True, help="folder with the files of quantize.convert")
        floors = ", ".join(f"{name}={value:g}" for name, value in FLOORS[role].items())
        own.add_argument("--floor", action="append", default=[], metavar="NAME=VALUE", help=f"for trials: {floors}")
        own.set_defaults(do=_publish, role=role)
    together = whats.add_parser("together", help="what only all three models can show, into their cards")
    together.set_defaults(do=_together)
    for each in whats.choices.values():
        each.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
        each.add_argument("--models", type=Path, default=Path("models"))
    return parser


# --- one model -----------------------------------------------------------------------------------------------


def _publish(options: argparse.Namespace) -> list[str]:
    floors = FLOORS[options.role] | lowered_floors(options.floor, FLOORS[options.role])
    candidate = examine(options.role, options.data, options.run)
    below = missed(candidate.int8, floors)
    check(candidate, floors=floors, published=_published(options) if below else None)
    publish(candidate, candidate.conditions(options.run), floors=floors, models=options.models)
    lost = {
        name: (figure(candidate.real, name) or 0) - (figure(candidate.int8, name) or 0) for name in FLOORS[options.role]
    }
    return [
        *MEASURING[options.role].table(candidate.result.figures),
        *(
            f"missed, as by the model before: {name} {value:.4f}, floor {floors[name]:g}"
            for name, value in below.items()
        ),
        f"float minus int8: {', '.join(f'{name} {value:+.4f}' for name, value in lost.items())}",
        f"{options.models / options.role}.tflite: published",
    ]


def _published(options: argparse.Namespace) -> dict[str, Any] | None:
    """The figures of the model that is in models/ now; None where there is none."""
    path, measuring = options.models / f"{options.role}.tflite", MEASURING[options.role]
    if not path.exists():
        return None
    model = open_model(path, options.role)
    return measuring.figures(model, options.data, split=measuring.gate) | measuring.elsewhere(model, options.data)


def lowered_floors(given: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    """Read NAME=VALUE. Raises DataError."""
    floors = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            floors[name] = float(value)
        except ValueError:
            raise DataError(f"--floor {text}: expected NAME=VALUE with a number") from None
        if name not in known:
            raise DataError(f"--floor {text}: expected one of {', '.join(known)}")
    return floors


def check(candidate: Candidate, *, floors: Mapping[str, float], published: Mapping[str, Any] | None = None) -> None:
    """Raise GateError if a gate fails."""
    lines = failed(candidate, floors=floors, published=published)
    if lines:
        raise GateError("\n".join(lines))


def publish(candidate: Candidate, conditions: Conditions, *, floors: Mapping[str, float], models: Path) -> None:
    """Write model and card."""
    models.mkdir(parents=True, exist_ok=True)
    metrics = {
        "float": _for_card(candidate.real),
        "int8": _for_card(candidate.int8),
        "conditions": conditions,
        "floors": dict(floors),
        "missed": missed(candidate.int8, floors),
    }
    card = cards.text(candidate.card | _withheld(candidate) | {"metrics": cards.rounded(metrics)})
    # Two files cannot be replaced at once. Between the two the old card's sha256 does not fit the new model: a
    # daemon that starts just then refuses it instead of running it under a wrong description.
    cards.write({models / candidate.card["file"]: candidate.content, models / f"{candidate.role}.json": card})


def _withheld(candidate: Candidate) -> dict[str, Any]:
    """The card's entry of intensities, without those that are not good enough."""
    known = candidate.card.get("intensities")
    return {"intensities": known | {"withheld": intensity.withheld(candidate.int8)}} if known else {}


def _for_card(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name not in NOT_IN_CARDS}


# --- all models ----------------------------------------------------------------------------------------------


def _together(options: argparse.Namespace) -> list[str]:
    """Measure what takes several models, and write it into the cards of those it is about."""
    by_group = fairness.measure(options.models, options.data)
    whole = end_to_end.measure(options.models, options.data, options.data)
    known = {role: cards.read(options.models / f"{role}.json") for role in TOGETHER}
    models = {role: card["sha256"] for role, card in known.items()}
    findings = {
        "detector": {"groups": asdict(by_group)},
        "landmarks": {"groups": asdict(by_group)},
        "expression": {"end_to_end": asdict(whole)},
    }
    written = {}
    for role, found in findings.items():
        metrics = known[role]["metrics"] | cards.rounded(found) | {"together_with": models}
        written[options.models / f"{role}.json"] = cards.text(known[role] | {"metrics": metrics})
    cards.write(written)
    return [*fairness.table(by_group), "", *end_to_end.table(whole)]
