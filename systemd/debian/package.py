"""Builds fer-edge_VERSION_ARCHITECTURE.deb: stages its files, writes what dpkg wants to know of them, packs; beside it,
as .cdx.json, what is in it (sbom.py).

Nothing is compiled and nothing of another architecture is run: all binaries come from wheels (vendored.py). The same
commit gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sbom
import vendored
from changelog import debian_changelog

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORK = ROOT / "build/deb"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
PROGRAM = ("/opt/fer-edge/bin/fer-edge", "/usr/bin/fer-edge")  # the unit's path, and where this package has it
SCHEMA = ("./docs/config.schema.json", "/usr/share/fer-edge/config.schema.json")  # the same for config.yaml


def main() -> int:
    """Build what the command line names; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="scripts/build-deb", description="Builds dist/fer-edge_VERSION_ARCH.deb.")
    parser.add_argument("architecture", nargs="?", default="all", choices=(*vendored.MACHINES, "all"))
    parser.add_argument("--version", default=_version(), help="another one than fer_edge/__init__.py's")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER", help="default: dist")
    parser.add_argument(
        "--wheels", type=Path, default=WORK / "wheels", metavar="FOLDER", help="where downloads are kept"
    )
    parser.add_argument("--fast", action="store_true", help="hardly compressed: twice as large, for tests")
    parser.add_argument("--lock", action="store_true", help="write the sums of systemd/debian/wheels.lock anew")
    options = parser.parse_args()
    if options.lock:
        vendored.relock(options.wheels)
        return 0
    os.umask(0o022)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _last_commit())
    WORK.mkdir(parents=True, exist_ok=True)
    for architecture in vendored.MACHINES if options.architecture == "all" else [options.architecture]:
        with tempfile.TemporaryDirectory(dir=WORK) as folder:  # one of its own: another build may run beside this
            stage = Path(folder) / "stage"
            fill(stage, architecture, options.wheels)
            describe(stage, architecture, options.version)
            deb = pack(stage, options.output / f"fer-edge_{options.version}_{architecture}.deb", fast=options.fast)
            seconds = int(os.environ["SOURCE_DATE_EPOCH"])
            parts = sbom.document(options.version, architecture, options.wheels, seconds=seconds)
            deb.with_suffix(".cdx.json").write_text(parts)
            print(f"build-deb: {deb} ({deb.stat().st_size / 1e6:.1f} MB; installed {_kib(stage) / 1000:.0f} MB)")
    return 0


def fill(stage: Path, architecture: str, downloads: Path) -> None:
    """Put all files of the package in their places under `stage`."""
    library, doc = stage / "usr/lib/fer-edge", stage / "usr/share/doc/fer-edge"
    package = library / "python3/fer_edge"
    shutil.copytree(ROOT / "fer_edge", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", package / "models", ignore=lambda _, names: [n for n in names if not _is_model(n)])
    for python in vendored.PYTHONS:
        for wheel in vendored.fetch(downloads, architecture=architecture, python=python):
            vendored.unpack(wheel, library, doc / "licences")
    _install(HERE / "fer-edge", stage / "usr/bin/fer-edge")
    _install(ROOT / "systemd/check-as-service", library / "check-as-service")
    _install(HERE / "fer-edge.sysusers", stage / "usr/lib/sysusers.d/fer-edge.conf")
    _install(HERE / "fer-edge.udev", stage / "usr/lib/udev/rules.d/60-fer-edge.rules")
    _install(HERE / "lintian-overrides", stage / "usr/share/lintian/overrides/fer-edge")
    _install(HERE / "copyright", doc / "copyright")
    _install(ROOT / "systemd/fer-edge.service", stage / "usr/lib/systemd/system/fer-edge.service", replace=PROGRAM)
    _install(ROOT / "config.yaml", stage / "etc/fer-edge/config.yaml", replace=SCHEMA)
    _install(ROOT / SCHEMA[0], stage / SCHEMA[1].lstrip("/"))


def describe(stage: Path, architecture: str, version: str) -> None:
    """Write the changelog and the control files."""
    changes = debian_changelog((ROOT / "CHANGELOG.md").read_text(), version, int(os.environ["SOURCE_DATE_EPOCH"]))
    _compress(changes, stage / "usr/share/doc/fer-edge/changelog.gz")
    _compress((HERE / "fer-edge.1").read_text(), stage / "usr/share/man/man1/fer-edge.1.gz")
    control = stage / "DEBIAN"
    control.mkdir()
    sums = "".join(f"{_md5(f)}  {f.relative_to(stage)}\n" for f in _files(stage))
    (control / "md5sums").write_text(sums)
    values = {"@VERSION@": version, "@ARCHITECTURE@": architecture, "@INSTALLED_SIZE@": str(_kib(stage))}
    text = (HERE / "control.in").read_text()
    (control / "control").write_text(re.sub("@[A-Z_]+@", lambda found: values[found[0]], text))
    _install(HERE / "conffiles", control / "conffiles")
    for script in SCRIPTS:
        _install(HERE / script, control / script)


def pack(stage: Path, deb: Path, *, fast: bool) -> Path:
    """Make the archive; every file in it is of the time SOURCE_DATE_EPOCH or older, and root's."""
    deb.parent.mkdir(parents=True, exist_ok=True)
    runnable = [stage / "usr/bin/fer-edge", stage / "usr/lib/fer-edge/check-as-service"]
    runnable += [stage / "DEBIAN" / script for script in SCRIPTS]
    for path in (stage, *stage.rglob("*")):  # not what a checkout's umask made of them
        path.chmod(0o755 if path.is_dir() or path in runnable else 0o644)
    compression = ("-Zgzip", "-z1") if fast else ("-Zxz",)
    unfinished = stage.with_suffix(".deb")
    command = ["dpkg-deb", "--root-owner-group", *compression, "--build", str(stage), str(unfinished)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.move(unfinished, deb)  # what has this name is whole
    return deb


def _install(source: Path, target: Path, *, replace: tuple[str, str] | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_text()
    if replace:
        if replace[0] not in text:
            raise SystemExit(f"build-deb: {source}: expected {replace[0]!r} in it, to become {replace[1]!r}")
        text = text.replace(*replace)
    target.write_text(text)


def _md5(path: Path) -> str:
    """What dpkg --verify wants."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _compress(text: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))


def _files(stage: Path) -> Iterator[Path]:
    """All files but the control files, sorted."""
    return (path for path in sorted(stage.rglob("*")) if path.is_file() and "DEBIAN" not in path.parts)


def _kib(stage: Path) -> int:
    """Installed-Size as Debian's policy counts it."""
    return sum(math.ceil(path.stat().st_size / 1024) if path.is_file() else 1 for path in sorted(stage.rglob("*")))


def _is_model(name: str) -> bool:
    return name.endswith((".tflite", ".json"))


def _version() -> str:
    return str(re.findall(r'__version__ = "(.+)"', (ROOT / "fer_edge/__init__.py").read_text())[0])


def _last_commit() -> str:
    """Time of the last commit, Unix seconds; of a tarball, which has none: its changelog's."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or str(int((ROOT / "CHANGELOG.md").stat().st_mtime))


if __name__ == "__main__":
    sys.exit(main())
