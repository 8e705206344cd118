"""`fer-edge report`: which period, compared with which, and where it goes."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fer_edge.commands.report.page import minutes_csv, write_report
from fer_edge.commands.report.summary import ReportData, visits
from fer_edge.commands.report.terminal import show
from fer_edge.config import Config
from fer_edge.errors import ConfigError, ReportError
from fer_edge.instance import SERVICE_FOLDER, device_id, state_folder
from fer_edge.runtime.atomic_file import FOR_ALL, replace_file
from fer_edge.runtime.count_text import of_all
from fer_edge.runtime.time_text import clock_text, local
from fer_edge.sinks.history import HISTORY_FILE, read_history
from fer_edge.sinks.picture_ring import PICTURES_FOLDER, picture_bytes, pictures_in
from fer_edge.tracking.minutes import MINUTE_SECONDS

UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NAMED_DAYS = {"today": 0, "yesterday": 1}
PREVIOUS = "previous"
MOST_PICTURES = 60
MOST_SECONDS = 2.0**40  # later than any minute


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What `fer-edge report` was asked for."""

    since: str = "7d"
    until: str | None = None  # None: now
    compare: str | None = None  # a moment at which the other period begins, or PREVIOUS
    out: Path | None = None  # HTML
    csv: str | None = None  # a file, or - for stdout
    file: Path | None = None  # None: what this device has kept
    pictures: bool = False  # with those that lie beside the history


def report(config: Config, options: ReportOptions) -> None:
    """Write the report of a period; without a file, print its summary.

    Raises:
        ConfigError: a period is not one.
        ReportError: there is no history, nothing in the period, or the report cannot be written.

    """
    now_s = time.time() // MINUTE_SECONDS * MINUTE_SECONDS  # of a minute that is cut nothing would be known
    until_s = min(now_s, moment(options.until, now_s, "--until")) if options.until else now_s
    since_s = moment(options.since, now_s, "--since")
    if since_s >= until_s:
        raise ConfigError(f"--since {options.since}: expected a time before --until ({clock_text(until_s, wall=True)})")
    path = options.file or own_history(config)
    stories = [_story(path, config, since_s, until_s, "this period")]
    if options.compare:
        length_s = until_s - since_s
        begin_s = since_s - length_s if options.compare == PREVIOUS else moment(options.compare, now_s, "--compare")
        stories.append(_story(path, config, begin_s, begin_s + length_s, "compared with", "--compare"))
    if options.csv:
        _write_csv(options.csv, minutes_csv([minute for story in reversed(stories) for minute in story.minutes]))
    if options.out:
        shown = album(path.parent / PICTURES_FOLDER, since_s, until_s) if options.pictures else []
        write_report(options.out, stories, config.models, shown)
    if not (options.out or options.csv):
        show(stories)


def album(folder: Path, since_s: float, until_s: float) -> list[tuple[str, bytes]]:
    """The newest pictures of a period, at most MOST_PICTURES: what each is of, and its JPEG. Raises ReportError."""
    try:
        found = [each for each in pictures_in(folder) if since_s <= each.at_s < until_s][:MOST_PICTURES]
    except OSError as error:
        raise ReportError(f"{folder}: cannot read the pictures: {error.strerror}; leave out --pictures") from None
    read = [(each, picture_bytes(folder, each.path.name)) for each in found]
    return [(f"{each.words}, {clock_text(each.at_s, wall=True)}", jpeg) for each, jpeg in read if jpeg]


def own_history(config: Config) -> Path:
    """The history of a daemon of this configuration; where the user has none, the service's.

    Raises:
        ReportError: only the service may look.

    """
    device = device_id(config)
    own, service = state_folder(config, device) / HISTORY_FILE, SERVICE_FOLDER / device / HISTORY_FILE
    if config.state.folder or own.exists():
        return own
    try:
        service.stat()  # not `exists`, which newer Pythons answer with False
    except PermissionError:
        raise ReportError(
            f"{service}: belongs to the service; run the same command with sudo, or name another file with --file"
        ) from None
    except OSError:
        return own
    return service


def moment(text: str, now_s: float, option: str) -> float:
    """Seconds of the epoch that "7d" (ago), "yesterday" or "monday" (its midnight, the last one), "2026-11-01" or
    "2026-11-01T08:30" (local time) mean.

    Raises:
        ConfigError: it is none of these.

    """
    if (days := _days_ago(text.strip().lower(), now_s)) is not None:
        return midnight(now_s, days)
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    with suppress(ValueError, OverflowError):
        at_s = now_s - int(ago[1]) * UNITS[ago[2]] if ago else datetime.fromisoformat(text).astimezone().timestamp()
        if at_s >= 0:
            return at_s
    example = "7d, 12h, 2026-11-01 or 2026-11-01T08:30, yesterday, today, monday"
    raise ConfigError(f"{option} {text!r}: expected a time such as {example}, from 1970 on")


def midnight(now_s: float, days: int) -> float:
    """When the day began, by the local clock, that was so many days ago: days are not all 24 hours long."""
    return datetime.combine(local(now_s).date() - timedelta(days=days), datetime.min.time()).astimezone().timestamp()


def _days_ago(word: str, now_s: float) -> int | None:
    """How many days ago a day was that has a name; None: it has none."""
    if word in WEEKDAYS:
        return int(local(now_s).weekday() - WEEKDAYS.index(word)) % 7
    return NAMED_DAYS.get(word)


def _story(
    path: Path, config: Config, since_s: float, until_s: float, name: str, option: str = "--since or --until"
) -> ReportData:
    minutes, events = read_history(path, since_s=since_s, until_s=until_s)
    begin, end = (clock_text(at, wall=True, seconds=False) for at in (since_s, until_s))
    if not minutes:
        raise ReportError(f"{path}: nothing between {begin} and {end}; {_what_there_is(path)}; choose another {option}")
    unsynced = sum(not minute.synced for minute in minutes)
    were, off = ("was", "its time") if unsynced == 1 else ("were", "their times")
    doubt = (
        f"{of_all(unsynced, len(minutes), 'minute')} {were} kept before the clock was synchronised: {off} may be off."
    )
    heard_s = max((minutes[-1].begin_s + minutes[-1].watched_s, *(event.at_s for event in events)))
    return ReportData(
        title=f"{device_id(config)}, {begin} to {end}",
        name=name,
        begin_s=since_s,
        end_s=until_s,
        minutes=minutes,
        visits=visits(events, begin_s=since_s, end_s=min(heard_s, until_s)),
        notes=[doubt] if unsynced else [],
    )


def _what_there_is(path: Path) -> str:
    """From when to when a history has minutes."""
    minutes, _ = read_history(path, since_s=0, until_s=MOST_SECONDS)
    if not minutes:
        return "it has no minute yet (each is kept when it is over)"
    first, last = (clock_text(at, wall=True, seconds=False) for at in (minutes[0].begin_s, minutes[-1].begin_s))
    return f"it has minutes from {first} to {last}"


def _write_csv(target: str, text: str) -> None:
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        replace_file(Path(target), text.encode(), mode=FOR_ALL)
    except OSError as error:
        raise ReportError(f"{target}: cannot write: {error.strerror}; choose another --csv") from None
