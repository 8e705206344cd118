"""The documentation: made pages are current, links lead somewhere, the door stays a door."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from msgspec import structs

from fer_edge.commands import COMMANDS, parser
from fer_edge.config import Config
from fer_edge.settings.loader import NAMED as NAMED_SECTIONS
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


@pytest.mark.parametrize("page", ["commands", "configuration"])
def test_a_page_made_from_the_code_is_current(page: str) -> None:
    made = made_by(f"scripts/make-{page}-page")
    assert (ROOT / f"docs/{page}.md").read_text() == made, "run: scripts/make-docs"


def test_every_key_of_the_configuration_is_explained() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    for section in structs.fields(Config):
        keys = NAMED_SECTIONS[section.name][0] if section.name in NAMED_SECTIONS else section.type
        part = text.partition(f"## {section.name}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)`", part, re.MULTILINE) == list(keys.__struct_fields__)


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


FOLDERS = ("fer_edge", "quantize", "tests", "scripts", "benchmarks", "systemd", "examples", "docs", "models")
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|md|yaml|json|tflite|js|html))?)`")
"""A path between backticks: a file that the repository may have, or a folder."""

NAMED = re.compile(r"`([A-Z][a-zA-Z]+(?:\.\w+)?|[a-z]+_\w+)(?:\(\w*\))?`")
"""A class, a class's member, or a function."""


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_the_text_exists(page: str) -> None:
    rooms = {folder.name for folder in (ROOT / "fer_edge").iterdir()} if page == "docs/architecture.md" else set()
    bases = {**dict.fromkeys(FOLDERS, ROOT), **dict.fromkeys(rooms, ROOT / "fer_edge")}
    paths = [
        path for path in PATH.findall((ROOT / page).read_text()) if path.split("/")[0] in bases and "NAME" not in path
    ]
    assert [path for path in paths if not (bases[path.split("/")[0]] / path).exists()] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_name_in_the_text_is_one_of_the_code(page: str) -> None:
    code = "\n".join(path.read_text() for package in ("fer_edge", "tests") for path in (ROOT / package).rglob("*.py"))
    names = {part for name in NAMED.findall((ROOT / page).read_text()) for part in name.split(".")}
    names = {name for name in names if not name.isupper() or name in ("BACKENDS", "COMMANDS", "SINKS")}
    assert len(names) >= 3
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", code)] == []


def test_the_table_of_threads_names_every_thread() -> None:
    source = {path: path.read_text() for path in (ROOT / "fer_edge").rglob("*.py") if "testing" not in path.parts}
    started = re.compile(r'(?:Worker\("|Thread\([^\n]*name=")([\w-]+)"')
    threads = {name for text in source.values() for name in started.findall(text)}
    assert {"camera", "mqtt", "web-picture", "picamera2-close"} <= threads
    table = (ROOT / "docs/architecture.md").read_text().partition("## Threads")[2].partition("\n\nSignals")[0]
    cells = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`([\w-]+)`", cells)) == threads


SHOWN = re.compile(r"(?:^|[\s`/(])fer-edge (\w+(?: [^`\n]*)?)(?=`|\n|$)")


MENTIONED = {"analyze": ["x"], "tune": ["x"], "notice": ["-o", "x"]}
"""What a command in a sentence may leave out."""


def commands_shown(page: str) -> list[list[str]]:
    """The arguments of every `fer-edge ...` in a page's blocks of commands and between its backticks."""
    text = (ROOT / page).read_text()
    mentioned = _commands(re.findall(r"`(?:sudo )?fer-edge [^`\n]+`", text))
    return [*_commands(re.findall(r"^(?: {4,}|\t)\S.*$", text, re.MULTILINE)), *map(_whole, mentioned)]


def _whole(arguments: list[str]) -> list[str]:
    begins = len(arguments) > 1 and not arguments[1].startswith("-")
    return arguments if begins else [arguments[0], *MENTIONED.get(arguments[0], ()), *arguments[1:]]


def _commands(lines: list[str]) -> Iterator[list[str]]:
    for command in (command for line in lines for command in SHOWN.findall(line)):
        plain = re.split(r" [|>#] | {2,}#| &&|;|…| \.\.\.", command)[0]
        if plain.split()[0] in COMMANDS:
            yield shlex.split(plain)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_command_shown_is_understood(page: str) -> None:
    for arguments in commands_shown(page):
        named = arguments[-1].startswith("-") and understood([*arguments, "x"])  # without its value, in a sentence
        assert named or understood(arguments), arguments


def understood(arguments: list[str]) -> bool:
    if {"--help", "--schema"} & {*arguments}:  # these are done as soon as they are understood
        return True
    try:
        return bool(parser(arguments[:1]).parse_args(arguments).command == arguments[0])
    except SystemExit:
        return False


def test_commands_shown_are_found() -> None:
    assert ["report", "--since", "7d", "--compare", "previous", "-o", "week.html"] in commands_shown("docs/shop.md")
    assert sum(len(commands_shown(page)) for page in PAGES) > 60


@pytest.mark.parametrize("page", PAGES)
def test_every_part_that_setup_is_given_exists(page: str) -> None:
    extras = {*tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]}
    given = re.findall(r"\./scripts/setup((?: [a-z][\w-]*)*)", (ROOT / page).read_text())
    assert {name for names in given for name in names.split()} - extras == set()


@pytest.mark.parametrize("page", ["docs/home-assistant.md", "docs/care.md", "docs/security.md"])
def test_every_automation_shown_can_be_read(page: str) -> None:
    blocks = re.findall(r"^ {4}triggers:\n(?: {4}.*\n|\n(?= {4}))+", (ROOT / page).read_text(), re.MULTILINE)
    for block in blocks:
        found = yaml.safe_load(textwrap.dedent(block))
        assert {*found} <= {"triggers", "conditions", "actions", "mode"}
        assert all(each["entity_id"].startswith("binary_sensor.fer_edge_") for each in found["triggers"])
