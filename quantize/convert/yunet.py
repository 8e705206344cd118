"""Convert YuNet for the daemon: `python -m quantize.convert.yunet FILE.onnx --pictures ZIP --out DIR`.

FILE.onnx is YuNet_n, another project's detector, as its authors publish it (`face_detection_yunet_2023mar.onnx` in
OpenCV's model zoo, float32; read its licence there). It becomes `yunet.tflite`, int8, with its card: put both beside
the other models, and set `models.detector: yunet`. The pictures, a few hundred photos with faces, only set the range
of the int8 numbers.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.errors import ModelError
from fer_edge.vision.transforms import letterbox
from quantize.convert.to_int8 import convert, from_black_to_white
from quantize.data.sets import DataError, Image, read_pictures
from quantize.files import cards
from quantize.tasks.networks import count_macs
from quantize.tasks.yunet import KEYPOINTS, STRIDES, load_yunet

NAME = "yunet"
OVERLAP = 0.4  # IoU from which two boxes are one face
SAMPLE = 200
STEP = 32  # px: a side of the input is a multiple of it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        convert_file(options.onnx, options.pictures, options.out, size=tuple(options.size))
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.convert.yunet", description="Convert YuNet's ONNX file.")
    parser.add_argument("onnx", type=Path, help="face_detection_yunet_2023mar.onnx, or another YuNet_n in float32")
    parser.add_argument("--pictures", type=Path, required=True, help="zip or folder of photos with faces")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for yunet.tflite and yunet.json")
    size = parser.add_argument("--size", nargs=2, type=int, default=(320, 256), metavar=("WIDTH", "HEIGHT"))
    size.help = f"default input, multiples of {STEP} px; the daemon chooses the shape itself"
    return parser


def convert_file(onnx: Path, pictures: Path, out: Path, *, size: tuple[int, int]) -> None:
    """Write the int8 file and its card. Raises DataError."""
    width, height = size
    if min(size) < STEP or width % STEP or height % STEP:
        raise DataError(f"--size: expected multiples of {STEP} px, got {width} {height}")
    network = load_yunet(onnx, size=(height, width), batch=1, features=False)
    _, content = convert(network, from_black_to_white(_sample(pictures, size)))
    card = _card(network, content, onnx)
    out.mkdir(parents=True, exist_ok=True)
    cards.write({out / f"{NAME}.tflite": content, out / f"{NAME}.json": cards.text(card)})
    print(f"{out / NAME}.tflite: {len(content)} bytes, {card['macs'] / 1e6:.0f} MMAC at {width}x{height}")


def _sample(pictures: Path, size: tuple[int, int]) -> Image:
    """Some of the pictures as the daemon would look at them, u8[N,H,W]."""
    images = read_pictures(pictures)
    if not images:
        raise DataError(f"{pictures}: expected photos with faces, found none")
    chosen = images[:: -(-len(images) // SAMPLE)]
    return np.stack([letterbox(image, *size)[0] for image in chosen])


def _card(network: Any, content: bytes, onnx: Path) -> dict[str, Any]:
    return {
        "card": 1,
        "name": NAME,
        "role": "detector",
        "file": f"{NAME}.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **cards.tensors(content, tuple(network.output_names), Path(f"{NAME}.tflite")),
        "ssd": {"strides": list(STRIDES), "keypoints": KEYPOINTS, "overlap": OVERLAP, "coding": "yunet"},
        "macs": count_macs(network),
        "parameters": network.count_params(),
        "training": {
            "data": "WIDER FACE, by the authors of YuNet; not trained by this project.",
            "source": onnx.name,
            "source_sha256": hashlib.sha256(onnx.read_bytes()).hexdigest(),
        },
        "license": "as stated where the ONNX file was fetched",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


if __name__ == "__main__":
    sys.exit(main())
