"""What the Debian package is made from (systemd/debian); building and installing it: tests/hardware."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = ROOT / "systemd/debian"
sys.path.insert(0, str(SOURCES))

import changelog  # noqa: E402 - beside the scripts that use it
import manpage  # noqa: E402
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
    assert not vendored._complete(tmp_path), "its sum is another"
    (tmp_path / "lock").write_text(f"x==1.0 \\\n    --hash=sha256:{vendored._sum(tmp_path / 'x-1.0-py3-none-any.whl')}")
    assert vendored._complete(tmp_path)


def test_maintainer_scripts_and_installers_make_the_same_user() -> None:
    unit = (ROOT / "systemd/fer-edge.service").read_text()
    groups = set(re.findall("^m fer-edge (.+)", (SOURCES / "fer-edge.sysusers").read_text(), re.MULTILINE))
    assert groups == set(re.findall("^SupplementaryGroups=(.+)", unit, re.MULTILINE)[0].split())
    assert "User=fer-edge\n" in unit
