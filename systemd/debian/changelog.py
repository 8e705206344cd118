"""CHANGELOG.md in the form of deb-changelog(5)."""

from __future__ import annotations

import re
import textwrap
from datetime import UTC, datetime

MAINTAINER = "fer-edge contributors <contributors@fer-edge.invalid>"  # as in control.in


def debian_changelog(markdown: str, version: str, epoch: int) -> str:
    """One entry for each `## [...]` of Keep a Changelog; what is unreleased counts for `version`.

    A section without a date gets the time `epoch`, Unix seconds.
    """
    entries = re.findall(r"^## \[(.+?)\](?: - (\S+))?\n(.*?)(?=^## |\Z)", markdown, re.MULTILINE | re.DOTALL)
    return "\n".join(
        _entry(version if name == "Unreleased" else name, date, text, epoch) for name, date, text in entries
    )


def _entry(version: str, date: str, text: str, epoch: int) -> str:
    when = datetime.fromisoformat(date).replace(tzinfo=UTC) if date else datetime.fromtimestamp(epoch, UTC)
    items = re.findall(r"^- (.*?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = (
        textwrap.fill(" ".join(item.split()), 76, initial_indent="  * ", subsequent_indent="    ") for item in items
    )
    stamp = when.strftime("%a, %d %b %Y %H:%M:%S +0000")
    return "\n".join(
        (f"fer-edge ({version}) unstable; urgency=medium", "", *lines, "", f" -- {MAINTAINER}  {stamp}", "")
    )
