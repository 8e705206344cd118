"""axe-core, which finds what keeps people with disabilities from using a page (MPL-2.0, by Deque; fetched, not
shipped)."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

VERSION = "4.11.0"
SHA512 = "ilYanEU8vxxBexpJd8cWM4ElSQq4QctCLKih0TSfjIfCQTeyH/6zVrmIJfLPrKTKJRbiG+cfnZbQIjAlJmF1jQ=="
SECONDS = 60


@cache
def axe_source() -> str | None:
    """The program, fetched once by npm and checked; None where that is not there or has no network."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                [npm, "pack", f"axe-core@{VERSION}"], cwd=folder, check=True, capture_output=True, timeout=SECONDS
            )
        except (OSError, subprocess.SubprocessError):
            return None
        archive = Path(folder, f"axe-core-{VERSION}.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert found == SHA512, "the fetched axe-core is not the pinned one"
        with tarfile.open(archive) as package:
            file = package.extractfile("package/axe.min.js")
            assert file is not None
            return file.read().decode()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong on a page as it stands, in its own words."""
    source = axe_source()
    assert source is not None
    page.evaluate(source)  # not a script element: the page's policy forbids foreign ones
    found: list[dict[str, Any]] = page.evaluate("axe.run(document).then(({ violations }) => violations)")
    return [f"{each['id']}: {node['html']} ({node['failureSummary']})" for each in found for node in each["nodes"]]
