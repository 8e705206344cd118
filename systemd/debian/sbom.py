"""What is in the Debian package, as a CycloneDX document: fer-edge, the wheels that it brings along, and the libraries
inside them. The same commit gives the same bytes."""

from __future__ import annotations

import email
import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import vendored

Component = dict[str, Any]
LIBRARY = re.compile(r"(lib.+?)(?:-[0-9a-f]{8})?(?:\.([0-9.]+))?\.so(?:\.([0-9a-z.]+))?")
"""libNAME-SUM.so.VERSION, or libNAME-SUM.VERSION.so, as wheels have them."""


def document(version: str, architecture: str, downloads: Path, *, seconds: int) -> str:
    """The whole document for one package; `seconds`: Unix time of the release."""
    product = {
        "type": "application",
        "bom-ref": "fer-edge",
        "name": "fer-edge",
        "version": version,
        "purl": f"pkg:deb/fer-edge@{version}?arch={architecture}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    wheels = _wheels(downloads, architecture)
    components = [_component(name, each) for name, each in sorted(wheels.items())]
    needed = [{"ref": "fer-edge", "dependsOn": [each["bom-ref"] for each in components]}]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(seconds, UTC).isoformat(), "component": product},
        "components": components,
        "dependencies": needed,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **content}, indent=1) + "\n"


def _wheels(downloads: Path, architecture: str) -> dict[str, list[Path]]:
    """The files of each distribution, one or one for each Python."""
    found: dict[str, list[Path]] = {}
    for python in vendored.PYTHONS:
        for wheel in vendored.fetch(downloads, architecture=architecture, python=python):
            if wheel.name not in (each.name for each in found.setdefault(vendored.name_of(wheel), [])):
                found[vendored.name_of(wheel)].append(wheel)
    return found


def _component(name: str, wheels: list[Path]) -> Component:
    with zipfile.ZipFile(wheels[0]) as archive:
        metadata = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        head = email.message_from_bytes(archive.read(metadata))
        inside = list(_libraries(archive, name))
    purl = f"pkg:pypi/{name}@{head['Version']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": head["Version"],
        "purl": purl,
        "licenses": [{"license": {"name": _licence(head)}}],
        "properties": [{"name": f"sha256 of {each.name}", "value": vendored.sum_of(each)} for each in wheels],
        **({"components": inside} if inside else {}),
    }


def _licence(head: Any) -> str:
    """As its metadata says it: an expression, or Python's own words for it."""
    words = [each.rpartition(":: ")[2] for each in head.get_all("Classifier", []) if each.startswith("License ::")]
    return str(head["License-Expression"] or " or ".join(words) or head["License"] or "unknown").splitlines()[0]


def _libraries(archive: zipfile.ZipFile, name: str) -> Iterator[Component]:
    """Shared libraries that a wheel brings along from elsewhere, by the version in their name."""
    for member in sorted(archive.namelist()):
        found = LIBRARY.fullmatch(PurePosixPath(member).name)
        if found and ".libs/" in member:
            sha256 = hashlib.sha256(archive.read(member)).hexdigest()
            yield {
                "type": "library",
                "bom-ref": f"{name}/{PurePosixPath(member).name}",
                "name": found[1],
                "version": found[3] or found[2] or "unknown",
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
