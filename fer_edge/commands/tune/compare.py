"""`fer-edge tune`: what other thresholds would have published, side by side, and the chosen ones into config.yaml."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from fer_edge.camera import Camera, open_camera, shown
from fer_edge.camera.sources import source_config
from fer_edge.commands.tune.replay import Outcome, Recording, Replay, networks
from fer_edge.config import Config
from fer_edge.errors import ConfigError
from fer_edge.runtime.atomic_file import replace_file
from fer_edge.settings.constraints import value_at
from fer_edge.settings.overrides import Tuning
from fer_edge.settings.yaml_edit import edited

AS_IT_IS = "as it is"
LIVE_SOURCE = "live"
LIVE_SECONDS = 60.0  # how long a live source is watched by default
MOST_CANDIDATES = 8  # columns
REDRAW_FRAMES = 15

Changes = dict[str, Any]
"""section.key -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """What `fer-edge tune` was asked for."""

    source: str  # as of analyze; LIVE_SOURCE: the camera of the configuration
    tries: Sequence[str] = ()  # each "section.key=value ..."; none: the presets
    seconds: float | None = None  # of the source; None: all of it, or LIVE_SECONDS
    json: bool = False
    write: str | None = None  # the candidate to write; None: ask, on a terminal


@dataclass(frozen=True, slots=True)
class Candidate:
    """One set of thresholds."""

    name: str
    config: Config
    changes: Changes = field(default_factory=dict)


def presets(config: Config) -> dict[str, Changes]:
    """Tries that are worth a look, made from the configuration."""
    smoothing, dwell = config.tracking.smoothing_seconds or 0.3, config.events.dwell_seconds or 0.25
    enter, leave = config.events.enter, config.events.leave
    return {
        "calmer": {"tracking.smoothing_seconds": 2 * smoothing, "events.dwell_seconds": 2 * dwell},
        "faster": {"tracking.smoothing_seconds": smoothing / 2, "events.dwell_seconds": dwell / 2},
        "surer": {"events.enter": _share(enter + 0.15), "events.leave": _share(leave + 0.15)},
        "bolder": {"events.leave": _share(leave - 0.1), "events.enter": _share(enter - 0.1)},
    }


def _share(value: float) -> float:
    return round(min(0.95, max(0.05, value)), 3)


def candidates(config: Config, tries: Sequence[str]) -> list[Candidate]:
    """The configuration as it is, and what is tried beside it.

    Raises:
        ConfigError: a try is not one, or there are too many.

    """
    wanted = {text: _parsed(text) for text in tries} or presets(config)
    if len(wanted) >= MOST_CANDIDATES:
        raise ConfigError(f"tune: expected at most {MOST_CANDIDATES - 1} --try, got {len(wanted)}")
    return [Candidate(AS_IT_IS, config), *(_candidate(name, config, changes) for name, changes in wanted.items())]


def _parsed(text: str) -> Changes:
    """As in "events.enter=0.6 events.dwell_seconds=1"."""
    pairs = [part.partition("=") for part in text.replace(",", " ").split()]
    if not pairs or not all(key and sign and value for key, sign, value in pairs):
        raise ConfigError(f"--try {text!r}: expected section.key=value, such as events.enter=0.6")
    return {key: value for key, _, value in pairs}


def _candidate(name: str, config: Config, changes: Changes) -> Candidate:
    """What may be set while the daemon runs may be tried; `Tuning` decides that, and what is wrong with a value."""
    tuning, held, waiting = Tuning(config, None), Changes(), list(changes.items())
    for _ in changes:  # some can be set only after others, as events.leave after events.enter
        answers = [(pair, tuning.set(pair[0], str(pair[1]).encode())) for pair in waiting]
        held |= {answer.key: answer.value for _, answer in answers if answer.accepted}
        refused = [answer for _, answer in answers if not answer.accepted]
        waiting = [pair for pair, answer in answers if not answer.accepted]
    if waiting:
        raise ConfigError(f"--try {name!r}: {refused[0].reason}")
    return Candidate(name, tuning.config, held)


def tune(config: Config, path: Path | None, options: TuneOptions) -> None:
    """Play the source, show what each candidate makes of it, and write the chosen one.

    Raises:
        FerEdgeError: the source cannot be read, a try is wrong, or the configuration cannot be written.

    """
    tried = candidates(config, options.tries)
    names = [each.name for each in tried]
    if options.write and options.write not in names:
        raise ConfigError(f"--write {options.write!r}: expected one of {', '.join(names)}")
    if options.write and path is None:
        raise ConfigError("--write needs a configuration file to write to: give it with -c")
    outcomes = play_all(config, tried, options)
    if options.json:
        print(json.dumps({each.name: asdict(outcomes[each.name]) for each in tried}))  # noqa: T201 - the output
    else:
        Console().print(picture(tried, outcomes))
    chosen = options.write or (_asked(names) if path and not options.json else None)
    if path and chosen and chosen != AS_IT_IS:
        write(path, next(each for each in tried if each.name == chosen))


def play_all(config: Config, tried: Sequence[Candidate], options: TuneOptions) -> dict[str, Outcome]:
    """Every candidate's outcome. The source is played once for those that share what the networks do. Raises
    ConfigError for candidates that change that on a live camera."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for each in tried:
        groups.setdefault(networks(each.config), []).append(each)
    live = options.source == LIVE_SOURCE
    if live and len(groups) > 1:
        other = next(each.name for group in list(groups.values())[1:] for each in group)
        raise ConfigError(f"--try {other!r}: changes what the networks see, which can be tried on recordings only")
    outcomes: dict[str, Outcome] = {}
    console = Console(stderr=True)
    for group in groups.values():
        camera = config.camera if live else source_config(config.camera, options.source)
        seconds = LIVE_SECONDS if live and options.seconds is None else options.seconds
        with closing(open_camera(camera)) as source, Live(console=console, transient=True, auto_refresh=False) as view:

            def draw(so_far: dict[str, Outcome], group: Sequence[Candidate] = group, view: Live = view) -> None:
                hint = Text(f"{shown(options.source)}; Ctrl-C: that is enough", "dim")
                view.update(Group(picture(group, so_far), hint), refresh=True)

            outcomes |= play(source, group, seconds=seconds, draw=draw if console.is_terminal else None)
    return outcomes


def play(
    source: Camera,
    group: Sequence[Candidate],
    *,
    seconds: float | None = None,
    draw: Callable[[dict[str, Outcome]], None] | None = None,
) -> dict[str, Outcome]:
    """Run the networks over an open source for every candidate; Ctrl-C ends it early.

    `draw` gets what is known so far, now and then.
    """
    recording = Recording(group[0].config)
    replays = {each.name: Replay(each.config) for each in group}
    begun_ns, count = None, 0
    with suppress(KeyboardInterrupt):
        while (frame := source.read()) is not None:
            begun_ns = frame.taken_ns if begun_ns is None else begun_ns
            if seconds is not None and frame.taken_ns - begun_ns > seconds * 1e9:
                break
            look = recording.look(frame)
            for replay in replays.values():
                replay.add(look)
            count += 1
            if draw and count % REDRAW_FRAMES == 0:
                draw({name: replay.outcome() for name, replay in replays.items()})
    return {name: replay.outcome() for name, replay in replays.items()}


ROWS: tuple[tuple[str, Callable[[Outcome], str]], ...] = (
    ("faces", lambda one: str(one.faces)),
    ("events a minute", lambda one: _number(one.events_per_minute, 1)),
    ("changes a face-minute", lambda one: _number(one.changes_per_minute, 1)),
    ("flips", lambda one: str(one.flips)),
    ("first expression, s", lambda one: _number(one.first_label_s, 2)),
    ("with an expression", lambda one: _percent(one.labelled)),
    ("abstained", lambda one: _percent(one.abstained)),
    ("most shown", lambda one: _dominant(one.shares)),
)


def picture(tried: Sequence[Candidate], outcomes: dict[str, Outcome]) -> Table:
    """A column for each candidate: what it changes, and what came of it."""
    # as narrow as it can be: with five columns a word such as happiness must stay whole in 80 columns
    table = Table(title="what would have been published", title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    for each in tried:
        table.add_column(each.name, justify="right", overflow="fold")
    keys = list(dict.fromkeys(key for each in tried for key in each.changes))
    for key in keys:
        table.add_row(key, *(_setting(each.config, key) for each in tried), style="dim")
    table.add_section()
    for title, of in ROWS:
        table.add_row(title, *(of(outcomes[each.name]) if each.name in outcomes else "" for each in tried))
    for name in tried[0].config.alerts:
        counts = (str(outcomes[each.name].alerts.get(name, 0)) if each.name in outcomes else "" for each in tried)
        table.add_row(f"alert {name}", *counts)
    return table


def _setting(config: Config, key: str) -> str:
    """A value of a configuration, as it is in force there."""
    value = value_at(config, key)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _dominant(shares: dict[str, float]) -> str:
    label, share = max(shares.items(), key=lambda item: item[1])
    return f"{label} {share:.0%}" if share else "–"


def _asked(names: Sequence[str]) -> str | None:
    """Which one somebody at a terminal wants; None: there is nobody."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    with suppress(EOFError):  # Ctrl-D: none
        return Prompt.ask("Write which into the configuration?", choices=list(names), default=AS_IT_IS)
    return None


def write(path: Path, chosen: Candidate) -> None:
    """Put a candidate's thresholds into config.yaml; its comments and everything else stay.

    Raises:
        ConfigError: the file cannot be read, changed or written.

    """
    try:
        text = path.read_bytes().decode()  # as it is, with whatever ends its lines
        replace_file(path, edited(text, chosen.changes, name=str(path)).encode(), like=path.stat())
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the thresholds: {error.strerror}; check its permissions") from None
    values = ", ".join(f"{key}: {value}" for key, value in chosen.changes.items())
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(f"{path}: {values}; `systemctl reload fer-edge` puts it in force", soft_wrap=True)
