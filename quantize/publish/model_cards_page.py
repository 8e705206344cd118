"""Write docs/model-cards.md, the cards for people to read:
`python -m quantize.publish.model_cards_page > docs/model-cards.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantize.data.sets import DataError
from quantize.evaluate.registry import MEASURING, TOGETHER
from quantize.files import cards

Card = Mapping[str, Any]
Table = Mapping[str, Mapping[str, Any]]  # row -> column -> value

HEAD = """# Model cards

Written by `python -m quantize.publish.model_cards_page` from the cards in `models/`; do not edit by hand.
How the models were made, what was tried and how to train your own: [models.md](models.md). Shares are 0 to 1.
"""
SHOWN = {  # the figures of a model as a whole, in their order
    "expression": ("accuracy", "macro_f1", "ece"),
    "detector": ("ap", "recall", "recall_16", "fp_per_image", "threshold"),
    "landmarks": ("nme51", "nme68", "median51", "failed", "presence_recall"),
    "intensity": ("images", "told"),
}
MEANINGS = {
    "expression": "`ece`: expected calibration error, 15 bins.",
    "detector": "`recall`, `recall_16` (faces of 16 % of the short side and more) and `fp_per_image` (false positives "
    "per photo) at `threshold`, the daemon's default; `ap`: average precision at IoU 0.5.",
    "landmarks": "Errors in distances of the outer eye corners, over the 51 inner and all 68 points; `failed`: faces "
    "with an error above 0.10.",
    "intensity": "`told`: outputs with a correlation of 0.75 and more with the teacher (closed eyes: and an area under "
    "the ROC curve of 0.90); the others are withheld.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="quantize.publish.model_cards_page", description="Print the model cards as Markdown."
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args(arguments)
    try:
        there = [role for role in MEASURING if role in TOGETHER or (options.models / f"{role}.json").exists()]
        known = {role: cards.read(options.models / f"{role}.json") for role in there}
        text = page(known)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"error: {options.models}: expected cards of published models, got one without {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def page(known: Mapping[str, Card]) -> str:
    """The cards by role, as one page."""
    return "\n".join([HEAD, *(line for role, card in known.items() for line in _card(role, card))])


def _card(role: str, card: Card) -> Iterator[str]:
    _, height, width, _ = card["input"]["shape"]
    yield f"## {role.capitalize()}\n"
    yield (
        f"`{card['file']}`, {card['date']}: {card['macs'] / 1e6:.1f} million multiply-accumulates, "
        f"{card['parameters']:,} parameters, {card['bytes']:,} bytes; "
        f"input {width}x{height} gray, int8 throughout; {card['license']}.\n"
    )
    training, metrics = card["training"], card["metrics"]
    yield f"**Use.** {card['intended_use']}\n"
    yield f"**Misuse.** {card['misuse']}\n"
    yield f"**Limits.** {card['limits']}\n"
    yield f"**Data.** {training['data']} **Terms.** {training['terms']}\n"
    yield f"**Protocol.** {training['protocol']}\n"
    yield f"**Command.** `{training['command']}` ({training['epochs']} epochs)\n"
    yield f"**Figures** on {metrics['int8']['set']}. {MEANINGS[role]}\n"
    yield from _table("", {kind: {name: metrics[kind][name] for name in SHOWN[role]} for kind in ("float", "int8")})
    if metrics["int8"].get("heads"):
        yield from _table("pose, degrees of yaw", {"against the mesh": metrics["int8"]["heads"]})
    if metrics["int8"].get("presence"):
        yield from _table("presence, a detector's candidates", {"kept photos": metrics["int8"]["presence"]})
    if "correlations" in metrics["int8"]:
        yield from _intensities(card)
    if "per_class" in metrics["int8"]:
        yield from _table("expression, int8", metrics["int8"]["per_class"])
    yield from _missed(metrics)
    if metrics["int8"].get("posed"):
        yield from _posed(metrics["int8"]["posed"])
    if metrics["int8"].get("natural"):
        yield from _natural(metrics["int8"]["natural"])
    yield from _table("condition, int8", metrics["conditions"])
    if metrics["int8"].get("varied_kinds"):
        yield from _table("varied photos, int8", _kinds(metrics["int8"]))
    if "end_to_end" in metrics:
        yield from _end_to_end(metrics["end_to_end"])
    if "groups" in metrics:
        yield from _groups(role, metrics["groups"])


def _intensities(card: Card) -> Iterator[str]:
    figures, withheld = card["metrics"]["int8"], card["intensities"]["withheld"]
    rows = {
        name: {
            "correlation": value,
            "area, closed eyes": figures["aucs"].get(name, ""),
            "published": "no" if name in withheld else "yes",
        }
        for name, value in figures["correlations"].items()
    }
    yield from _table("intensity, int8", rows)


def _kinds(figures: Card) -> Table:
    """Recall by kind of face, of the detector alone and of the daemon."""
    daemon = figures["daemon_kinds"]
    return {
        name: {"faces": own["faces"], "recall, alone": own["recall"], "recall, daemon": daemon[name]["recall"]}
        for name, own in figures["varied_kinds"].items()
    }


def _missed(metrics: Card) -> Iterator[str]:
    """Intervals of the figures, and the project's goals that they do not reach."""
    intervals = metrics["int8"].get("intervals", {})
    if intervals:
        spans = ", ".join(f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in intervals.items())
        yield f"**95 % intervals** (int8, by bootstrap): {spans}.\n"
    if metrics.get("missed"):
        floors = metrics["floors"]
        lines = ", ".join(f"`{name}` {value:.3f} (floor {floors[name]:g})" for name, value in metrics["missed"].items())
        yield f"**Missed**, as by the model before, and by no more than chance further: {lines}.\n"


def _posed(figures: Card) -> Iterator[str]:
    low, high = figures["interval"]
    views = ", ".join(f"{name} {value:.3f}" for name, value in figures["wider"].items())
    yield (
        f"**Posed faces** ({figures['set']}, {figures['pictures']} pictures of {figures['people']} people): accuracy "
        f"{figures['accuracy']:.3f} ({low:.3f} to {high:.3f}); {views}.\n"
    )
    rows = {
        label: {
            "recall": each["recall"],
            "95 %": "{:.3f} to {:.3f}".format(*each["interval"]),
            "pictures": each["count"],
        }
        for label, each in figures["recalls"].items()
    }
    yield from _table("posed expression, int8", rows)


def _natural(figures: Card) -> Iterator[str]:
    low, high = figures["interval"]
    yield (
        f"**Natural faces** ({figures['set']}, {figures['pictures']} pictures): agreement with a committee of "
        f"networks (not an accuracy) {figures['agreement']:.3f} ({low:.3f} to {high:.3f}). Called neutral: "
        f"{figures['neutral']:.3f}, by the committee {figures['neutral_teacher']:.3f}.\n"
    )
    rows = {label: {"agreement": share, "pictures": count} for label, (share, count) in figures["by_answer"].items()}
    yield from _table("the committee's label", rows)


def _end_to_end(figures: Card) -> Iterator[str]:
    yield (
        f"**Through the whole daemon**: {figures['faces']} faces of {figures['set']} enlarged into pictures without "
        f"faces and processed as single frames; as ready crops {figures['ready_crops']:.4f} of them are classified "
        "correctly.\n"
    )
    names = ("found", "accuracy", "accuracy_found", "gap_points", "abstained")
    yield from _table("size in the frame", {size: {n: row[n] for n in names} for size, row in figures["sizes"].items()})


def _groups(role: str, report: Card) -> Iterator[str]:
    share = {"detector": "found", "landmarks": "tracked"}[role]
    meaning = {
        "found": "found by the detector alone at its default threshold",
        "tracked": "that the daemon takes for a face (by the detector's and the landmarks' score together)",
    }[share]
    yield f"**By group**, {report['set']}: share {meaning}, with its 95 % interval.\n"
    rows = {
        name: {
            "pictures": row["pictures"],
            share: row[share],
            "95 %": "{:.3f} to {:.3f}".format(*row[f"{share}_interval"]),
        }
        for name, row in report["groups"].items()
    }
    yield from _table("group", rows)
    behind = [name for name, row in report["groups"].items() if row["behind"]]
    yield (
        f"Behind the others: {', '.join(behind)}.\n"
        if behind
        else "No group is behind, as far as so many pictures can show.\n"
    )


def _table(first: str, rows: Table) -> Iterator[str]:
    """A Markdown table; cells without a value stay empty."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    yield f"| {first} | {' | '.join(name.replace('_', ' ') for name in names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for key, row in rows.items():
        yield f"| {key} | {' | '.join(_cell(row.get(name, '')) for name in names)} |"
    yield ""


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
