"""A container image as `scripts/build-image` leaves it: its configuration, its files, and a run of them."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hardware.installing import VERSION, build_deb
from tests.hardware.roots import REPOSITORY


@dataclass(frozen=True)
class Image:
    """An image and the folder in which its files lie."""

    archive: Path
    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        return dict(line.split("=", 1) for line in self.config["Env"])

    def command(self, *arguments: str) -> list[str]:
        """What a container of it runs."""
        return [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]

    def contained(self, *command: str, config: Path, data: Path, name: str) -> list[str]:
        """A command in a container: its user, a read-only root, this machine's network; it may write to `data`."""
        user = self.config["User"].partition(":")[0]
        return [
            *("setpriv", "--pdeathsig", "TERM", "--", "systemd-nspawn", "--quiet", f"--machine={name}"),
            *(f"--directory={self.root}", "--read-only", "--tmpfs=/tmp:mode=1777", "--timezone=off"),
            *("--register=no", "--keep-unit", "--console=pipe"),
            *("--no-new-privileges=yes", "--drop-capability=all", f"--user={user_name(self.root, user)}"),
            *(f"--bind={data}:/data", f"--bind-ro={config}:/etc/fer-edge"),
            *(f"--setenv={key}={value}" for key, value in self.environment.items()),
            *command,
        ]


def user_name(root: Path, number: str) -> str:
    """What a user is called in there."""
    lines = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    return next(name for name, _, id_, *_ in lines if id_ == number)


def image(folder: Path, architecture: str) -> Image:
    """Build an image as a user does, with a package that is hardly compressed, and unpack it."""
    deb = build_deb(folder, architecture)
    subprocess.run(
        ["scripts/build-image", architecture],
        cwd=REPOSITORY,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BUILD_IMAGE_DEB": str(deb), "IMAGE_FOLDER": str(folder)},
        check=True,
    )
    archive = folder / f"fer-edge-image_{VERSION}_{architecture}.tar"
    root = folder / f"root-{architecture}"
    root.mkdir()
    with tarfile.open(archive) as outer:
        (manifest,) = _json(outer, "manifest.json")
        for layer in manifest["Layers"]:
            file = outer.extractfile(layer)
            assert file is not None
            with tarfile.open(fileobj=file) as inner:
                inner.extractall(root, filter="fully_trusted", numeric_owner=True)
        config = _json(outer, manifest["Config"])
    return Image(archive, root, config["config"])


def _json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)
