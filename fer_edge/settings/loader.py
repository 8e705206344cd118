"""Reads config.yaml strictly and reports all errors at once.

Each finding names file, line, section, key, what was expected and what was found. Nothing is guessed and
nothing is read from the environment but secrets (`secret`).
"""

from __future__ import annotations

import json
import re
import reprlib
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fer_edge.config import IN_WORDS, NAME, Alert, CamerasConfig, Config, Name, NamedCamera, Section, Zone
from fer_edge.errors import ConfigError
from fer_edge.settings.cameras import several_errors
from fer_edge.settings.constraints import combination_errors, value_at
from fer_edge.settings.neighbours import key_hint, value_hint

SECTIONS: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Config)}
NAMED: dict[str, tuple[type[Section], tuple[str, ...]]] = {
    "alerts": (Alert, ("expressions", "signals")),
    "zones": (Zone, ("points",)),
}
"""The sections whose keys are names: what stands below a name, and the key that it needs."""

CAMERAS = "cameras"
"""The section that stands instead of `camera` where there are several."""

MOST_CHARACTERS = 1_000_000
"""Of a configuration: /dev/zero has no end."""

MOST_SHOWN = 60
"""Characters of a value in a message."""

DEEPEST = 4
"""Keys between a section's name and the lowest key in it: cameras, a name, zones, a name, points."""


def load_config(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: with one finding for each thing that is wrong.

    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the configuration: {reason}") from None
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{path}: has more than {MOST_CHARACTERS} characters: expected a configuration")
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str = "config.yaml") -> Config:
    """Read a configuration from text; `name` is the file in messages."""
    document = _Document(name, text)
    sections: dict[str, Any] = {
        section: document.named(section, *NAMED[section])
        if section in NAMED
        else document.section(section, SECTIONS[section])
        for section in document.keys(document.root, "", "a section", (*SECTIONS, CAMERAS))
        if section != CAMERAS
    }
    cameras = document.cameras() if CAMERAS in document.root else {}
    config = CamerasConfig(**sections, cameras=cameras) if cameras else Config(**sections)
    for section, keys, what in (
        several_errors(config) if isinstance(config, CamerasConfig) else combination_errors(config)
    ):
        if not document.explains(section, keys):
            got = value_at(config, f"{section}.{keys[0]}")
            hidden = isinstance(got, str) and "://" in got and keys[0].endswith("source")  # it may hold a password
            document.find(section, keys[0], what if hidden else f"{what}, got {show(got)}")
    document.raise_findings()
    return config


class _Document:
    """A parsed YAML file that remembers its lines and collects findings."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.findings: list[tuple[int, str]] = []
        self.wrong: set[tuple[str, str]] = set()  # places (section, key) that have a finding
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            loaded = None if node is None else loader.construct_document(node)
        except (yaml.YAMLError, ValueError, AttributeError, LookupError, RecursionError) as error:
            # PyYAML lets its own constructors' errors through: impossible dates, !!bool x, 5000 digits, 1000 brackets
            raise ConfigError(f"{name}:{_line_of(error, text)}: not valid YAML: {_problem(error)}") from None
        self.lines: dict[tuple[str, str], int] = {}
        self._index(node)
        if not isinstance(loaded, dict | None):
            raise ConfigError(f"{name}:1: expected sections such as 'camera:', got {show(loaded)}")
        self.root: dict[Any, Any] = loaded or {}

    def _index(self, node: yaml.Node | None, *path: str) -> None:
        """Remember the line of each section and key; a key given twice is a finding."""
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            section, *below = (*path, str(key.value))
            place = section, ".".join(below)
            line = key.start_mark.line + 1
            if place in self.lines:
                self.findings.append(
                    (line, f"{_place(*place)}: given twice (first on line {self.lines[place]}); keep one")
                )
            self.lines[place] = line
            if len(path) < (DEEPEST if section == CAMERAS else 2):
                self._index(value, section, *below)

    def find(self, section: str, key: str, what: str) -> None:
        """Add a finding at a section's or key's line."""
        above = [".".join(key.split(".")[:count]) for count in range(len(key.split(".")), 0, -1)] if key else []
        line = next((self.lines[section, each] for each in (*above, "") if (section, each) in self.lines), 1)
        self.findings.append((line, f"{_place(section, key)}: {what}"))
        self.wrong.add((section, key))

    def explains(self, section: str, keys: tuple[str, ...]) -> bool:
        """Whether a finding is to blame for what seems wrong between these keys too; an alert's zone may be one."""
        zones = section == "alerts" and any(place == "zones" for place, _ in self.wrong)
        return zones or bool(self.wrong.intersection((section, key) for key in ("", *keys)))

    def keys(self, mapping: dict[Any, Any], section: str, kind: str, known: Any, *, prefix: str = "") -> list[str]:
        """The known keys of a mapping; the others become findings that name the nearest known one."""
        for key in mapping:
            if key not in known:
                place = (section, f"{prefix}{key}") if section else (str(key), "")
                self.find(*place, f"unknown, expected {kind}; {_hint(section, str(key), known)}")
        return [key for key in mapping if key in known]

    def section(self, name: str, kind: type[Section]) -> Section:
        """Convert one section key by key, so that one wrong key does not hide the next."""
        given = self.root[name]
        if given is None:
            return kind()
        if not isinstance(given, dict):
            self.find(name, "", f"expected keys below it, got {show(given)}")
            return kind()
        return kind(**self._values(given, kind, name))

    def named(self, section: str, kind: type[Section], needed: tuple[str, ...]) -> dict[str, Section]:
        """Convert a section whose keys are names; below each stands a `kind`, with one of the keys in `needed`."""
        return self._named(self.root[section], kind, needed, section)

    def cameras(self) -> dict[str, NamedCamera]:
        """Section `cameras`, which stands instead of `camera` and has one camera at least."""
        given = self.root[CAMERAS]
        if given is None or given == {}:
            self.find(
                CAMERAS, "", "expected a name with keys below it for each camera, got none; name one, or remove it"
            )
        if "camera" in self.root:
            what = "expected either camera or cameras, got both; keep camera for one camera, cameras for several"
            self.find(CAMERAS, "", what)
        return {
            name: camera
            for name, camera in self.named(CAMERAS, NamedCamera, ()).items()
            if isinstance(camera, NamedCamera)
        }

    def _named(
        self, given: Any, kind: type[Section], needed: tuple[str, ...], section: str, prefix: str = ""
    ) -> dict[str, Section]:
        """The same of what stands in a section or, in `cameras`, below a key that ends `prefix`."""
        if not isinstance(given, dict | None):
            each = (prefix.rstrip(".").rpartition(".")[2] or section).removesuffix("s")
            what = f"expected a name with keys below it for each {each}, got {show(given)}"
            self.find(section, prefix.rstrip("."), what)
        found = {}
        for name, below in given.items() if isinstance(given, dict) else ():
            place = f"{prefix}{name}"
            if not _is_name(name):
                self.find(section, place, f"expected a name of {IN_WORDS[NAME]}, got {show(name)}")
            elif not isinstance(below, dict if needed else dict | None):
                among = f", {needed[0]} among them" if needed else ""
                self.find(section, place, f"expected keys below it{among}, got {show(below)}")
            elif needed and not any(key in below for key in needed):
                self.find(section, place, f"expected keys below it, {needed[0]} among them, got {show(below)}")
            else:
                values = self._values(below or {}, kind, section, prefix=f"{place}.")
                if not needed or any(key in values for key in needed):
                    found[name] = kind(**values)
        return found

    def _values(self, given: dict[Any, Any], kind: type[Section], section: str, *, prefix: str = "") -> dict[str, Any]:
        """The right values of a mapping by key; wrong ones become findings."""
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        values = {}
        for key in self.keys(given, section, f"a key of {prefix[:-1] or section}", types, prefix=prefix):
            place = f"{prefix}{key}"
            if key in NAMED:  # a camera's own zones
                values[key] = given[key] and self._named(given[key], *NAMED[key], section, f"{place}.")
                continue
            if isinstance(types[key], type) and issubclass(types[key], Section):
                values[key] = self._below(given[key], types[key], section, place)
                continue
            try:
                values[key] = msgspec.convert(given[key], types[key])
            except msgspec.ValidationError as error:
                what = f"{expected(error, types[key], given[key])}, got {show(given[key])}"
                self.find(section, place, what)
        return values

    def _below(self, given: Any, kind: type[Section], section: str, place: str) -> Section:
        """The keys below a camera's key."""
        if not isinstance(given, dict | None):
            self.find(section, place, f"expected keys below it, got {show(given)}")
        return kind(**self._values(given, kind, section, prefix=f"{place}.")) if isinstance(given, dict) else kind()

    def raise_findings(self) -> None:
        """Raise all findings so far, in the order of the file."""
        if self.findings:
            raise ConfigError(*(f"{self.name}:{line}: {what}" for line, what in sorted(self.findings)))


def _hint(section: str, key: str, known: Any) -> str:
    """What an unknown key may mean: by its name in other programs, or by its spelling."""
    if meant := key_hint("camera" if section == CAMERAS else section, key):
        return f"here it is {meant}"
    import difflib  # here: only mistakes need it

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.65)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _meant(given: Any, values: Any) -> str:
    """What the unknown ones among values of a choice are called here, before all that is known."""
    each = given if isinstance(given, list | tuple) else [given]
    meant = [f"{show(one)} is {hint} here; " for one in each if (hint := value_hint(one, values))]
    return "".join(meant)


def _is_name(given: Any) -> bool:
    try:
        msgspec.convert(given, Name)
    except msgspec.ValidationError:
        return False
    return True


def _place(section: str, key: str) -> str:
    section, key = (name if name.isprintable() else show(name) for name in (section, key))
    return f"section {section}, key {key}" if key else f"section {section}"


def show(value: Any) -> str:
    """A value as YAML has it, its beginning where it is long: a few aliases can stand for more than memory holds."""
    text = ""
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
            text += piece
            if len(text) > MOST_SHOWN:
                break
    except (TypeError, ValueError):  # a date as a key, an anchor that holds itself
        text = reprlib.repr(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text", "null": "null"}
WORDS |= {"array": "a list", "object": "keys below it"}


def expected(error: msgspec.ValidationError, kind: Any, given: Any) -> str:
    """Msgspec's message in YAML terms, without its own path, which `find` gives."""
    message = str(error)
    info = msgspec.inspect.type_info(kind)
    if values := getattr(getattr(info, "item_type", info), "values", None):
        quotes = "; put it in quotes" if str(given) in values and given not in values else ""
        several = " or more" if hasattr(info, "item_type") else ""
        return f"{_meant(given, values)}expected one{several} of {', '.join(map(show, values))}{quotes}"
    if "matching regex" in message:
        patterns = [getattr(each, "pattern", None) for each in _parts(info)]
        return f"expected {next(IN_WORDS[pattern] for pattern in patterns if pattern)}"
    item = re.search(r" - at `\$\[(\d+)\](?:\[\d+\])*`$", message)
    message = re.sub(r"( - at `.*`|, got `[^`]*`)$", "", re.sub(r" - at `.*`$", "", message))
    message = message.replace("`int | float", "`float")  # a whole number is one
    message = re.sub(r"`([^`]*)`", lambda types: " or ".join(WORDS.get(t, t) for t in types[1].split(" | ")), message)
    return message[:1].lower() + message[1:] + (f" (item {item[1]}, counted from 0)" if item else "")


def _parts(info: Any) -> list[Any]:
    """A type, or the types that it is made of."""
    below = [
        *getattr(info, "types", ()),
        *(getattr(info, name) for name in ("key_type", "value_type") if hasattr(info, name)),
    ]
    return [part for each in below for part in _parts(each)] or [info]


def _line_of(error: Exception, text: str) -> int:
    """Where YAML broke, as well as the error knows."""
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", max(0, text.find("!!")))
    return int(mark.line) + 1 if mark else text.count("\n", 0, position) + 1


def _problem(error: Exception) -> str:
    if isinstance(error, LookupError | AttributeError):  # of PyYAML's own code: its words are no help
        return "a value is not of the kind that its tag names (such as !!bool or !!int)"
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return str(words).replace("\n", " ")[:200]
