"""The documentation: made pages are current, links lead somewhere, the door stays a door."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.settings.loader import parse_config
from tests.support.paths import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "systemd", "examples", "benchmarks")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)


def made_by(*command: str) -> str:
    return subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_the_drawing_shows_the_code_as_it_is() -> None:
    made_by("scripts/draw-architecture", "--check")


def test_the_page_of_commands_is_what_they_say() -> None:
    made = made_by("scripts/make-commands-page")
    assert (ROOT / "docs/commands.md").read_text() == made, "run: scripts/make-commands-page > docs/commands.md"


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page has, as they are commonly made of its headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"`|\[|\]\([^)]*\)", "", head)).lower() for head in heads)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_the_readme_is_a_door() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 60


def test_every_page_of_docs_is_on_the_map() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)", (ROOT / "docs/README.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} == linked


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_configuration_shown_is_valid(page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    for block in blocks:
        parse_config(block, name=page)
