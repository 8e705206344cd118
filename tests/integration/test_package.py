"""What the Debian package is made from (systemd/debian); building and installing it: tests/hardware."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = ROOT / "systemd/debian"
sys.path.insert(0, str(SOURCES))

import audit  # noqa: E402 - beside the scripts that use it
import changelog  # noqa: E402
import manpage  # noqa: E402
import sbom  # noqa: E402
import vendored  # noqa: E402

CHANGES = """\
# Changelog

## [Unreleased]

### Added
- One thing
  on two lines.
- Another.

## [0.1.0] - 2026-11-20

### Fixed
- A third.
"""


def test_the_changelog_in_debians_form() -> None:
    entries = changelog.debian_changelog(CHANGES, "0.2.0", 1_790_000_000).split("\n\nfer-edge ")
    assert entries[0].startswith(
        "fer-edge (0.2.0) unstable; urgency=medium\n\n  * One thing on two lines.\n  * Another.\n"
    )
    assert entries[0].endswith("  Mon, 21 Sep 2026 14:13:20 +0000")
    assert "(0.1.0)" in entries[1]
    assert "* A third." in entries[1]
    assert entries[1].endswith("  Fri, 20 Nov 2026 00:00:00 +0000\n")


def test_the_maintainer_is_the_same_everywhere() -> None:
    assert f"Maintainer: {changelog.MAINTAINER}\n" in (SOURCES / "control.in").read_text()


def test_the_manual_page_is_the_command_lines() -> None:
    page = (SOURCES / "fer-edge.1").read_text()
    assert page == manpage.page(), "python systemd/debian/manpage.py >systemd/debian/fer-edge.1"


def test_the_lock_pins_versions_that_pyproject_takes_for_every_machine() -> None:
    text = (SOURCES / "wheels.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert set(pins) == set(vendored.WANTED)
    sums = {name: text.split(f"\n{name}==")[1].split("==")[0].count("sha256:") for name in pins}
    by_machine = len(vendored.MACHINES)
    each = by_machine * len(vendored.PYTHONS)
    stable = {"av": by_machine, "opencv-python-headless": by_machine}  # one wheel for every Python
    compiled = {"ai-edge-litert": each, "msgspec": each, "websockets": each, **stable}
    assert sums == {name: compiled.get(name, 1) for name in pins}


def test_a_lock_with_sums_for_less_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "lock").write_text("x==1.0 \\\n    --hash=sha256:" + 64 * "0")
    monkeypatch.setattr(vendored, "LOCK", tmp_path / "lock")
    assert not vendored.is_complete(tmp_path), "its sum is another"
    (tmp_path / "lock").write_text(
        f"x==1.0 \\\n    --hash=sha256:{vendored.sum_of(tmp_path / 'x-1.0-py3-none-any.whl')}"
    )
    assert vendored.is_complete(tmp_path)


def test_wheels_that_cannot_be_downloaded_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(SystemExit, match=r"pip could not download the wheels for arm64, Python 3\.11: see above"):
        vendored.fetch(tmp_path, architecture="arm64", python="3.11")


def test_maintainer_scripts_and_installers_make_the_same_user() -> None:
    unit = (ROOT / "systemd/fer-edge.service").read_text()
    groups = set(re.findall("^m fer-edge (.+)", (SOURCES / "fer-edge.sysusers").read_text(), re.MULTILINE))
    assert groups == set(re.findall("^SupplementaryGroups=(.+)", unit, re.MULTILINE)[0].split())
    assert "User=fer-edge\n" in unit


def test_no_version_with_a_fault_known_to_matter_is_shipped_or_allowed() -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (SOURCES / "wheels.lock").read_text(), re.MULTILINE))
    project = (ROOT / "pyproject.toml").read_text()
    opencv = tuple(int(part) for part in pins["opencv-python-headless"].split(".")[:2])
    assert opencv >= (4, 12), "4.10 and 4.11: CVE-2025-53644"
    assert '"opencv-python-headless>=4.9,!=4.10.*,!=4.11.*"' in project
    assert "opencv-python-headless==4.1" not in project
    assert '"starlette>=0.49.1,' in project, "before it a Range header blocks the page (CVE-2025-62727)"
    assert '"h11>=0.16"' in project, "before it chunks were read too leniently (CVE-2025-43859)"


def test_install_sh_takes_nothing_without_a_sum() -> None:
    script = (ROOT / "systemd/install.sh").read_text()
    calls = re.findall(r"-m pip install (?:.*\\\n)*.*", script)
    assert len(calls) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "wheels.lock"):
        assert option in calls[0]


def test_both_ways_of_installing_close_the_configuration() -> None:
    assert "install -m 640 -g fer-edge" in (ROOT / "systemd/install.sh").read_text()
    assert 'chmod 640 "$config"' in (SOURCES / "postinst").read_text()


def wheel(folder: Path, name: str, *members: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-2.0.dist-info/METADATA", f"Name: {name}\nVersion: 2.0\nLicense-Expression: MIT\n")
        for member in members:
            archive.writestr(member, member)
    return path


def test_the_list_of_what_is_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = [
        wheel(
            tmp_path, "one_two", "one_two.libs/libpng16-529cb57a.so.16.58.0", "one_two.libs/libblas-59ffcd50.3.15.so"
        ),
        wheel(tmp_path, "three"),
    ]
    monkeypatch.setattr(vendored, "fetch", lambda *_, **__: wheels)
    text = sbom.document("1.2", "arm64", tmp_path, seconds=1_790_000_000)
    assert text == sbom.document("1.2", "arm64", tmp_path, seconds=1_790_000_000), "the same for the same"
    found = json.loads(text)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["component"]["purl"] == "pkg:deb/fer-edge@1.2?arch=arm64"
    assert [each["purl"] for each in found["components"]] == ["pkg:pypi/one-two@2.0", "pkg:pypi/three@2.0"]
    inside = [(each["name"], each["version"]) for each in found["components"][0]["components"]]
    assert inside == [("libblas", "3.15"), ("libpng16", "16.58.0")]
    assert found["dependencies"][0]["dependsOn"] == ["pkg:pypi/one-two@2.0", "pkg:pypi/three@2.0"]


AUDITED = {"name": "x", "version": "1.0", "vulns": []}
FAULT = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}


@pytest.mark.parametrize(
    ("output", "message", "line", "fails"),
    [
        (json.dumps({"dependencies": [AUDITED]}), "", "audit: no known fault in all: 1 of 1 packages looked up", False),
        (
            json.dumps({"dependencies": [AUDITED | {"vulns": [FAULT]}]}),
            "",
            "audit: x 1.0: PYSEC-1 CVE-1; mended in 1.1",
            True,
        ),
        (
            json.dumps({"dependencies": [{"name": "x", "skip_reason": "not found"}]}),
            "",
            "audit: skipped for all: the registry keeps no advisories for any of 1 packages",
            False,
        ),
        ("", "ConnectionError", "audit: skipped for all: the registry gave no advisories: ConnectionError", False),
        ("", "", "audit: skipped for all: the registry gave no advisories: nothing was said", False),
    ],
)
def test_an_audit_fails_by_a_fault_and_by_no_network_never(output: str, message: str, line: str, fails: bool) -> None:
    assert audit.judged("all", output, message) == ([line], fails)
