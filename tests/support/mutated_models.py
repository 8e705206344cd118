"""Damages a model in many ways, each with a card that fits, and loads it: `python -m tests.support.mutated_models
FOLDER FIRST COUNT`. In a process of its own, for native code reads the file. Prints what came of each."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np

from fer_edge.errors import ModelError
from fer_edge.vision.tflite import Model


def mutated(content: bytes, seed: int) -> bytes:
    """Some bytes are others, most of them where a flatbuffer has its structure: at its end and its beginning."""
    random_ = random.Random(seed)
    changed = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 8))):
        span = random_.choice((64, 4096, len(changed)))
        at = random_.randrange(span)
        changed[-1 - at if random_.random() < 0.7 else at] = random_.choice(
            (0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256))
        )
    return bytes(changed[: random_.randrange(len(changed))] if random_.random() < 0.1 else changed)


def outcome(folder: Path) -> str:
    """What loading and running the model in a folder comes to."""
    try:
        model = Model(folder, "expression", role="expression")
        model.run(np.zeros(model.card.input.shape, np.float32))
    except ModelError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error!r}"
    except Exception as error:
        return f"uncaught: {error!r}"
    return "runs"


def main(folder: Path, first: int, count: int) -> None:
    """Try `count` mutations from seed `first` on."""
    card = json.loads((folder / "expression.json").read_text())
    original = (folder / "expression.tflite").read_bytes()
    (folder / "mutated").mkdir(exist_ok=True)
    for seed in range(first, first + count):
        content = mutated(original, seed)
        (folder / "mutated/expression.tflite").write_bytes(content)
        fitting = {**card, "sha256": hashlib.sha256(content).hexdigest(), "bytes": max(1, len(content))}
        (folder / "mutated/expression.json").write_text(json.dumps(fitting))
        print(seed, end=" ", flush=True)
        print(outcome(folder / "mutated"), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
