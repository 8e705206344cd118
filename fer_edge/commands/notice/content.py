"""The content of a notice in one language: from config.yaml and the texts in `languages/`.

Article 50(3) of Regulation (EU) 2024/1689 requires that people are informed that a system reads their expressions,
Article 13 of Regulation (EU) 2016/679 who is responsible, what for, and how long what is kept. A language is a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fer_edge.commands.notice.numbers import Numbers
from fer_edge.config import CamerasConfig, Config
from fer_edge.errors import ConfigError

FOLDER = Path(__file__).parent / "languages"
LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl")
NEEDED = ("purpose", "controller", "contact")
"""Keys of section privacy without which a notice would be incomplete."""


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language's sentences; {words} in braces are filled in."""

    title: str
    intro: str
    title_several: str
    intro_several: str
    one_of_several: str
    purpose: str
    purposes: dict[str, str]
    medical_or_safety: str
    recorded: str
    faces: str
    zones: str
    expressions: str
    attention: str
    iris: str
    eyes_mouth: str
    drowsiness: str
    landmarks: str
    pictures_none: str
    pictures_sent: str
    anonymous: str
    kept: str
    kept_nothing: str
    kept_outbox: str
    kept_history: str
    kept_pictures: str
    kept_file: str
    receivers_keep: str
    receivers_keep_nothing: str
    responsible: str
    rights: str
    more: str
    more_several: str
    law: str
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a heading."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """One page."""

    language: str
    title: str
    intro: str
    sections: tuple[Section, ...]
    law: str
    more: str  # what the QR code is for
    url: str  # of the QR code; empty: there is none


def notice(config: Config, language: str, *, cameras: int = 1, camera: str | None = None) -> Notice:
    """The page in one of LANGUAGES, about so many cameras, or about the one of several that is named.

    Raises:
        ConfigError: config.yaml does not say what the notice has to.

    """
    privacy = config.privacy
    if missing := [key for key in NEEDED if not getattr(privacy, key)]:
        what = "the notice has to name what the camera is for, who is responsible and how they are reached"
        raise ConfigError(*(f"section privacy, key {key}: expected a value: {what}; got none" for key in missing))
    texts = msgspec.toml.decode((FOLDER / f"{language}.toml").read_bytes(), type=Texts)
    purpose = texts.purposes[privacy.purpose or ""]
    sections = (
        Section(texts.purpose, (purpose, *([texts.medical_or_safety] if privacy.medical_or_safety else ()))),
        Section(texts.recorded, tuple(_recorded(config, texts))),
        Section(texts.kept, tuple(_kept(config, texts))),
        Section(texts.responsible, (privacy.controller, privacy.contact, texts.rights)),
    )
    one, several = (
        (texts.title, texts.intro, texts.more),
        (texts.title_several, texts.intro_several, texts.more_several),
    )
    title, intro, more = several if cameras > 1 else one
    if camera:
        intro = f"{intro} {texts.one_of_several.format(name=camera)}"
    return Notice(language, title, intro, sections, texts.law, more, privacy.notice_url)


def _recorded(config: Config, texts: Texts) -> Iterator[str]:
    """What is made of the pictures, and what becomes of these."""
    yield texts.faces
    if _has_zones(config):
        yield texts.zones
    yield texts.expressions
    if config.attention.enabled:
        yield texts.attention
        if config.attention.iris:
            yield texts.iris
    if config.eyes_mouth.enabled or config.intensities.enabled:
        yield texts.eyes_mouth
    if config.drowsiness.enabled:
        yield texts.drowsiness
    if config.privacy.landmarks:
        yield texts.landmarks
    yield texts.pictures_sent if config.privacy.images else texts.pictures_none
    yield texts.anonymous


def _has_zones(config: Config) -> bool:
    """Whether it has any, or one of its cameras."""
    own = config.cameras.values() if isinstance(config, CamerasConfig) else ()
    return bool(config.zones or any(camera.zones for camera in own))


def _kept(config: Config, texts: Texts) -> Iterator[str]:
    """What stays on the device, and with those who receive it."""
    history, jsonl, pictures, numbers = config.history, config.jsonl, config.pictures, texts.numbers
    waits = config.mqtt.enabled and config.outbox.enabled
    if history.enabled:
        yield texts.kept_history.format(time=numbers.days_text(history.keep_days))
    if pictures.enabled:
        yield texts.kept_pictures.format(time=numbers.hours_text(pictures.keep_hours))
    if jsonl.enabled:
        megabytes = max(1, math.ceil(jsonl.max_bytes * (jsonl.backups + 1) / 1e6))
        yield texts.kept_file.format(megabytes=numbers.text(megabytes))
    if waits:
        yield texts.kept_outbox.format(events=numbers.text(config.outbox.max_events))
    if not (history.enabled or pictures.enabled or jsonl.enabled or waits):
        yield texts.kept_nothing
    days = config.privacy.receivers_keep_days
    if days is not None:
        yield texts.receivers_keep.format(time=numbers.days_text(days)) if days else texts.receivers_keep_nothing
