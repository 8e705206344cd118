"""What a run can write: lines, tables, events, a film, pictures and a report."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import msgspec

from fer_edge.commands.analyze.checkpoint import pack, unpack
from fer_edge.commands.analyze.film import Film, Reached
from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.commands.analyze.output import Lines, Output, check_size, marked, synced
from fer_edge.commands.analyze.rows import header, load_arro3, rows, write_parquet
from fer_edge.commands.analyze.stills import StillTimeline
from fer_edge.commands.analyze.timeline import FilmTimeline
from fer_edge.config import Models, Zone
from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload
from fer_edge.drawing.painter import Painter
from fer_edge.errors import SinkError
from fer_edge.records import FaceEvent, Identity, Update

log = logging.getLogger(__name__)


class JsonLines(Lines):
    """Every frame as a line of JSON."""

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        self.put(msgspec.json.encode(look.line) + b"\n")


class Table(Lines):
    """Every face of every frame as a line of CSV."""

    def __init__(self, path: str, columns: Mapping[str, str]) -> None:
        super().__init__(path, header(columns))
        self._columns = columns

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        self.put(rows(look, self._columns))


class Parquet(Table):
    """The same as Parquet, made of a CSV file that stands beside it meanwhile."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        """Raises SinkError where the library is missing."""
        load_arro3()
        self._path, self._rows = path, path.with_name(path.name + ".rows")
        super().__init__(str(self._rows), columns)

    def check(self, kept: bytes) -> None:
        """See `Output.check`."""
        super().check(kept)
        if self._rows.is_symlink() or self._rows.stat().st_uid not in (os.geteuid(), 0):
            raise SinkError(f"{self._rows}: is not the file that the run made; start over without --resume")

    def start(self, kept: bytes | None) -> None:
        """See `Output.start`."""
        if not kept:  # a link that somebody has put there is not followed
            self._rows.unlink(missing_ok=True)
            os.close(os.open(self._rows, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        super().start(kept)

    def make(self, stopped: str | None) -> None:  # noqa: ARG002 - a table has no notes
        """See `Output.make`."""
        write_parquet(self._rows, self._path, self._columns)

    def finish(self) -> None:
        """See `Output.finish`."""
        self._rows.unlink(missing_ok=True)


class FilmEvent(EventPayload, frozen=True, kw_only=True):
    """An event as it is published over MQTT, and which source it is of."""

    source: str


class Events(Lines):
    """Events as MQTT would have them, with the time of the film: `mono_ns` counts from its beginning, and `ts` as if it
    had begun with 1970. Each source is a run of its own, whose `boot_id` is made of its name and number."""

    def __init__(self, path: str, identity: Identity) -> None:
        super().__init__(path)
        self._identity, self._source = identity, ""

    def begin(self, source: str, number: int) -> None:
        """See `Output.begin`."""
        self._source = source
        self._identity = replace(self._identity, boot_id=hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:12])

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        self._tell(look.update.events)

    def end(self, update: Update, trouble: str | None) -> None:  # noqa: ARG002 - events say nothing of files
        """See `Output.end`."""
        self._tell(update.events)

    def _tell(self, events: Sequence[FaceEvent]) -> None:
        for event in events:
            payload = event_payload(event, self._identity)
            ts = datetime.fromtimestamp(event.mono_ns / 1e9, UTC).isoformat(timespec="milliseconds")
            known = msgspec.structs.asdict(payload) | {"ts": ts.replace("+00:00", "Z"), "clock_synced": False}
            self.put(msgspec.json.encode(FilmEvent(**known, source=self._source)) + b"\n")


class FilmOutput(Output):
    """Every frame with its faces marked, as a film."""

    def __init__(self, path: Path, zones: Mapping[str, Zone]) -> None:
        """Raises SinkError where the library is missing."""
        self.where, self._path, self._film = str(path), path, Film(path)
        self._painter = Painter(zones=zones)

    def check(self, kept: bytes) -> None:
        """See `Output.check`."""
        check_size(self._path, unpack(kept, Reached).bytes)

    def start(self, kept: bytes | None) -> None:
        """See `Output.start`."""
        self._film.start(unpack(kept, Reached) if kept else None)

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        frame = look.update.frame
        assert frame is not None
        self._film.add(marked(look, self._painter), frame.taken_ns)

    def section(self) -> None:
        """See `Output.section`."""
        self._film.section()

    def end(self, update: Update, trouble: str | None) -> None:  # noqa: ARG002 - the pictures are all there is
        """See `Output.end`."""
        self._film.section()

    def kept(self) -> bytes:
        """See `Output.kept`."""
        synced(self._path)
        return pack(self._film.reached)

    def finish(self) -> None:
        """See `Output.finish`."""
        try:
            if plain := self._film.plain():
                synced(plain)
                plain.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)  # nothing was read: an empty file would be no film
        except OSError as error:
            log.warning("%s: is left in fragments, in which some players cannot seek: %s", self._path, error.strerror)

    def close(self) -> None:
        """See `Output.close`."""
        self._film.close()


class Report(Output):
    """One page of all sources."""

    def __init__(self, path: Path, models: Models, *, still: bool) -> None:
        """`still`: frames have nothing to do with each other. Raises ReportError where the libraries are missing."""
        report = import_module("fer_edge.commands.report.page")
        report.load_libraries()
        self.where, self._path, self._models, self._write = str(path), path, models, report.write_report
        self._kind: type[FilmTimeline | StillTimeline] = StillTimeline if still else FilmTimeline
        self._chronicle = self._kind()

    def start(self, kept: bytes | None) -> None:
        """See `Output.start`."""
        self._chronicle = unpack(kept, self._kind) if kept else self._kind()
        absent = not self._path.exists()
        self._path.open("ab").close()  # where that fails, better now than in an hour
        if absent:
            self._path.unlink()

    def begin(self, source: str, number: int) -> None:
        """See `Output.begin`."""
        if number == len(self._chronicle.sources):
            self._chronicle.begin(Path(source).name or source)

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        self._chronicle.take(look)

    def end(self, update: Update, trouble: str | None) -> None:
        """See `Output.end`."""
        self._chronicle.end(update, trouble)

    def kept(self) -> bytes:
        """See `Output.kept`."""
        return pack(self._chronicle)

    def make(self, stopped: str | None) -> None:
        """See `Output.make`."""
        self._write(self._path, [self._chronicle.story(stopped)], self._models)


class Outputs:
    """All that a run writes, each under the option that asked for it."""

    def __init__(self, each: Mapping[str, Output], *, resumable: bool) -> None:
        """`resumable`: whether a failed run can be resumed."""
        self._each = each
        self._advice = "free space there" + (", then continue with --resume" if resumable else "")

    def start(self, kept: Mapping[str, bytes] | None) -> None:
        """See `Output.start`. Raises SinkError, where less is there than was kept before anything was changed."""
        for option, output in self._each.items() if kept else ():
            output.check(kept[option] if kept else b"")
        for option, output in self._each.items():
            try:
                output.start(kept[option] if kept else None)
            except SinkError:
                raise
            except OSError as error:
                where = error.filename or output.where
                raise SinkError(f"{where}: cannot write: {error.strerror}; choose another --{option}") from None

    def for_each(self, what: Callable[[Output], object]) -> None:
        """Raises SinkError where one cannot write any more, BrokenPipeError where nobody reads."""
        for output in self._each.values():
            with self._named(output.where):
                what(output)

    def kept(self) -> dict[str, bytes]:
        """See `Output.kept`. Raises SinkError."""
        found = {}
        for option, output in self._each.items():
            with self._named(output.where):
                found[option] = output.kept()
        return found

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for output in self._each.values():
                stack.callback(output.close)

    @contextmanager
    def _named(self, where: str) -> Iterator[None]:
        """Add the file to an error."""
        try:
            yield
        except (BrokenPipeError, SinkError):
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise SinkError(f"{where}: cannot write any more: {reason}; {self._advice}") from None
