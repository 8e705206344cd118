"""Settings that can be changed while the daemon runs, and that survive a restart where they are kept.

A change is an override over config.yaml; those that are kept stand in `tuning.json` in the state folder. How it comes
in and how the answer goes out is not known here; privacy and whatever needs a restart cannot be changed this way.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fer_edge.config import NAME, Config
from fer_edge.settings.constraints import combination_errors, value_at
from fer_edge.settings.loader import expected, show
from fer_edge.settings.overlay import differences, flat, with_values
from fer_edge.settings.overrides_file import TUNING_FILE, load, save
from fer_edge.settings.shapes import SHAPES, plain, unchanged, wrong
from fer_edge.settings.tunables import ALERT, LIVE, Tunable, Value, live_types, tunables_of

MAX_PAYLOAD_BYTES = 256
SWITCH = {"ON": True, "OFF": False}  # what Home Assistant's switches send


@dataclass(frozen=True, slots=True)
class Refused:
    """A payload that is no value of its key, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request to set a key."""

    key: str  # section.key; empty where what was asked for cannot be a key
    value: Value | None  # in force now; None: not a key that can be set
    accepted: bool
    reason: str | None = None  # why it was refused, or what is not as expected although it was accepted


@dataclass(frozen=True, slots=True)
class Reload:
    """The result of reloading config.yaml."""

    changed: tuple[str, ...]  # keys whose value in force is another now, or that are new or gone (alerts)
    needs_restart: tuple[str, ...]  # keys that are in force as they were before
    warnings: tuple[str, ...] = ()  # overrides that were dropped, in words


class Tuning:
    """The configuration in force: config.yaml and the overrides.

    For one thread, which may wait: `set` writes to the disk. `config` can be read from any thread.
    """

    def __init__(self, config: Config, folder: Path | None) -> None:
        """Load the overrides of the last run; errors in them are in `warnings`, never raised.

        `folder` is made where it is missing; None: overrides last until the restart.
        """
        self._path = folder and folder / TUNING_FILE
        self._unwritable: dict[str, Any] | None = None  # what could not be written
        self._stored, warnings = load(self._path) if self._path else ({}, ())  # what the file holds
        self.warnings = warnings + self._adopt(config, self._stored, self._stored)

    def _adopt(self, base: Config, overrides: dict[str, Any], kept: dict[str, Any]) -> tuple[str, ...]:
        """Put a base and those overrides that are right over it in force. What was dropped, in words."""
        self._base = base
        self._kinds = live_types(base)
        self._overrides, dropped = _fitting(base, self._kinds, overrides)
        self._kept, also = _fitting(base, self._kinds, kept)
        self._config = with_values(base, self._overrides)
        trouble = self._save()
        lines = [f"the change to {_got(key)} is dropped: {why}" for key, why in (also | dropped).items()]
        return (*lines, *([f"changes will not survive a restart: {trouble}"] if trouble else []))

    @property
    def config(self) -> Config:
        """The configuration in force; always valid."""
        return self._config

    @property
    def base(self) -> Config:
        """The same without the overrides."""
        return self._base

    def set(self, key: str, payload: bytes, *, keep: bool = True, write: bool = True) -> Answer:
        """Change a key, in either spelling. An empty payload or `null` returns to config.yaml's value.

        Without `keep`, what it was before comes back with the restart, unless `keep_all` is called before. Without
        `write`, the file follows with `write()`.
        """
        name = key_of(key)
        if name not in self._kinds:
            return Answer(name, None, accepted=False, reason=f"{_got(key)}: {self._why_not(name)}")
        value = parse(payload, self._kinds[name])
        if isinstance(value, Refused):
            return self._answer(name, refused=f"{name}: {value.reason}")
        overrides = self._changed(self._overrides, name, value)
        config = with_values(self._base, overrides)
        if broken := [what for _, what in _broken(config)]:
            return self._answer(name, refused=f"{name} cannot be {show(value_at(config, name))}: {'; '.join(broken)}")
        self._overrides, self._config = overrides, config
        if not keep:
            return self._answer(name)
        kept = self._changed(self._kept, name, value)
        # a value that is right only beside others, which are not kept yet, is kept with these
        self._kept = overrides if any(_broken(with_values(self._base, kept))) else kept
        trouble = self._save() if write else None
        return self._answer(name, note=trouble and f"in force, but it will not survive a restart: {trouble}")

    def draw(self, shapes: Mapping[str, Any], *, write: bool = True) -> str | None:
        """Put other shapes (keys of SHAPES) in force and keep them; None returns to config.yaml's. Why they are
        refused, or what hinders that they are kept, in words. Without `write`, `write` is to be called."""
        given = {key: plain(value_at(self._base, key)) if value is None else value for key, value in shapes.items()}
        if problems := [what for key, value in given.items() if (what := wrong(key, value))]:
            return "; ".join(problems)
        new = {key: value for key, value in given.items() if key not in unchanged(self._base, given)}
        overrides = {key: value for key, value in self._overrides.items() if key not in given} | new
        kept = {key: value for key, value in self._kept.items() if key not in given} | new
        config = with_values(self._base, overrides)
        if broken := [what for _, what in _broken(config)]:
            return "; ".join(broken)
        self._overrides, self._config = overrides, config
        self._kept = overrides if any(_broken(with_values(self._base, kept))) else kept
        trouble = self._save() if write else None
        return trouble and f"in force, but it will not survive a restart: {trouble}"

    def _changed(self, overrides: dict[str, Any], name: str, value: Value | None) -> dict[str, Any]:
        """Overrides with another value of one key; one that is config.yaml's is no override."""
        others = {other: own for other, own in overrides.items() if other != name}
        return others if value is None or value == value_at(self._base, name) else others | {name: value}

    @property
    def written(self) -> bool:
        """Whether the file holds what is kept, or nothing can be written."""
        return self._path is None or self._kept in (self._stored, self._unwritable)

    def write(self) -> str | None:
        """Write what is kept. Returns what prevents it, in words; then the next change retries."""
        trouble = self._save()
        self._unwritable = self._kept if trouble else None
        return trouble

    def keep_all(self, *, write: bool = True) -> str | None:
        """Keep all values in force beyond the restart. Returns what prevents it, in words. Without `write`, call
        `write` later."""
        self._kept = self._overrides
        return self._save() if write else None

    def _answer(self, key: str, *, refused: str | None = None, note: str | None = None) -> Answer:
        value: Value = value_at(self._config, key)
        return Answer(key, value, accepted=refused is None, reason=refused or note)

    def answers(self) -> tuple[Answer, ...]:
        """Every key that can be set, with its value in force."""
        return tuple(map(self._answer, self._kinds))

    def tunables(self) -> list[Tunable]:
        """Every key that can be set, with what it takes."""
        return tunables_of(self._base, now=self._config, kept=with_values(self._base, self._kept))

    def reload(self, new: Config) -> Reload:
        """Apply a reloaded config.yaml. What needs a restart stays as it is; overrides stay in force.

        An override that equals the new value, or has become impossible, is dropped.
        """
        live = {key: value_at(new, key) for key in (*SHAPES, *live_types(new))}
        base = with_values(self._base, {"alerts": new.alerts} | live)
        if combination_errors(base):  # against keys that wait for the restart: these wait with them
            base = self._base
        before, warnings = self._config, self._adopt(base, self._overrides, self._kept)
        return Reload(differences(before, self._config), differences(base, new), warnings)

    def _why_not(self, key: str) -> str:
        """Why a key cannot be set."""
        if not key:
            return "expected a name such as detector/min_score"
        section, _, below = key.partition(".")
        if section == "privacy":
            return "privacy settings can only be changed in config.yaml; change it there and restart"
        if section == "alerts" and below:
            alert = below.partition(".")[0]
            if alert in self._base.alerts:
                return f"of an alert, only {', '.join(ALERT)} can be set; change the rest in config.yaml"
            return f"config.yaml has no alert {alert}; it has: {', '.join(self._base.alerts) or 'none'}"
        if key in SHAPES or section == "zones":
            return "drawn on the live page, or changed in config.yaml"
        if key in dict(flat(self._base)):
            return "needs a restart; change it in config.yaml"
        import difflib  # here: only mistakes need it

        near = difflib.get_close_matches(key, self._kinds, n=1, cutoff=0.5)
        return f"unknown; did you mean {near[0]}?" if near else f"unknown; the sections are {', '.join(LIVE)}, alerts"

    def _save(self) -> str | None:
        """Write the overrides that are kept, where the file does not hold them. What hinders it, in words."""
        if self._kept == self._stored:
            return None
        if self._path is None:
            return "there is no state folder (state.folder)"
        if trouble := save(self._path, self._kept):
            return trouble
        self._stored = self._kept
        return None


def key_of(text: str) -> str:
    """`section.key` from `section/key` or `section.key`, known or not; empty where it cannot be a key."""
    key = text.replace("/", ".")
    return key if key.count(".") < 3 and all(re.fullmatch(NAME, part) for part in key.split(".")) else ""


def topic_of(key: str) -> str:
    """`section/key` from `section.key`."""
    return key.replace(".", "/")


def parse(payload: bytes, kind: Any) -> Value | Refused | None:
    """The value of type `kind` in JSON or plain text (0.6, debug, ON, OFF); None where that is empty or `null`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Refused(f"expected at most {MAX_PAYLOAD_BYTES} bytes, got {len(payload)}")
    try:
        text = payload.decode().strip() or "null"
    except UnicodeDecodeError:
        return Refused("expected UTF-8 text, got other bytes")
    given: Any = text
    with contextlib.suppress(ValueError):  # then it is plain text
        given = msgspec.json.decode(text)
    if kind is bool and isinstance(given, str):
        given = SWITCH.get(given.upper(), given)
    return None if given is None else _converted(given, kind)


def _converted(given: Any, kind: Any) -> Value | Refused:
    try:
        # not strict: templates send whole numbers as 5.0, and numbers in quotes
        value: Value = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        return Refused(f"{expected(error, kind, given)}, got {_got(given)}")
    return value


def _got(value: Any) -> str:
    """A value on one line; line separators and terminal codes are written out."""
    text = show(value)
    return text if text.isprintable() else ascii(text)


def _broken(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Combinations that contradict each other: the dotted keys, and what is wrong."""
    for section, names, what in combination_errors(config):
        keys = tuple(f"{section}.{name}" for name in names)
        yield keys, f"{keys[0]}: {what}, got {show(value_at(config, keys[0]))}"


def _fitting(base: Config, kinds: dict[str, Any], overrides: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The overrides that are right and change something; the wrong ones, and why."""
    right: dict[str, Any] = {}
    dropped = {}
    for key, given in overrides.items():
        if key in SHAPES:
            if reason := wrong(key, given):
                dropped[key] = reason
            elif not unchanged(base, {key: given}):
                right[key] = given
            continue
        value = _converted(given, kinds[key]) if key in kinds else Refused("this key cannot be set")
        if isinstance(value, Refused):
            dropped[key] = value.reason
        elif value != value_at(base, key):
            right[key] = value
    while broken := next(_broken(with_values(base, right)), None):
        keys, what = broken
        # the base is right by itself, so an override is to blame
        sections = (each.partition(".")[0] for each in keys)
        key = next(key for key in (*keys, *sections, "zones", *right) if key in right)
        dropped[key] = what
        del right[key]
    return right, dropped
