"""Reads the files of a log folder, rotated and compressed ones too: line by line, broken lines left out."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otelbot.logs.folder import BOT, ERRORS, KINDS, put_aside, without_twins
from otelbot.logs.formats import ERRORS as ERROR_LEVELS
from otelbot.logs.formats import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Record = dict[str, Any]

#: Different errors that are counted; past it the rare ones are forgotten.
_MOST_ERRORS = 10_000
_varying = re.compile(r"\b[0-9a-fA-F]{8,}\b|\d+(?:[.:,-]\d+)*")


class ReadingError(Exception):
    """A sentence for people."""


@dataclass
class Fault:
    """One error, whatever was different from time to time, and how often it came.

    An exception that is logged is told twice: by its record and by an event, which stands for as many as it says.
    """

    severity: str
    text: str
    fingerprint: str | None
    newest: str
    records: int = 0
    events: int = 0

    @property
    def count(self) -> int:
        return max(self.records, self.events)


@dataclass
class Stats:
    """What a folder holds. The errors file repeats what the other has, so that its lines are not counted."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    levels: Counter[str] = field(default_factory=Counter)
    errors: list[Fault] = field(default_factory=list)
    oldest: str | None = None
    newest: str | None = None
    broken: int = 0


def paths(folder: Path, kind: str) -> list[Path]:
    """Return the files of a kind, the oldest first.

    :raises ReadingError: where the folder can't be read.
    """
    try:
        found = [Path(each.path) for each in without_twins(put_aside(str(folder), kind))]
    except NotADirectoryError:
        raise ReadingError(f"{folder} is no folder: name the one that OTELBOT_LOG_DIR names") from None
    except FileNotFoundError:
        raise ReadingError(f"{folder} does not exist: name the folder that OTELBOT_LOG_DIR names") from None
    except OSError as error:
        raise ReadingError(f"{folder} can't be read ({error.strerror}): use the user that runs the bot") from None
    current = folder / f"{kind}.log"
    return [*found, current] if current.exists() else found


def require_logs(folder: Path) -> None:
    """Raise ReadingError where a folder has no log files."""
    if not any(paths(folder, kind) for kind in KINDS):
        raise ReadingError(f"{folder} has no bot.log yet: run the bot with OTELBOT_LOG_DIR={folder}")


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, decompressed. One that vanishes or is cut gives what it has."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        compressed = Path(f"{path}.gz")  # since the folder was looked at
        if path.suffix != ".gz" and compressed.exists():
            yield from lines(compressed)
    except PermissionError as error:
        raise ReadingError(f"{path} can't be read ({error.strerror}): use the user that runs the bot") from None
    except (OSError, EOFError, zlib.error):
        return


def parse(line: bytes) -> Record | None:
    """Return the record of a line, or None where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def stats(folder: Path) -> Stats:
    """Read everything that a folder holds."""
    found = Stats()
    for kind in KINDS:
        found.files[kind] = paths(folder, kind)
        found.bytes[kind] = 0
        for path in found.files[kind]:
            with suppress(FileNotFoundError):
                found.bytes[kind] += path.stat().st_size
    faults: dict[str, Fault] = {}
    for path in found.files[BOT] or found.files[ERRORS]:
        for line in lines(path):
            record = parse(line)
            if record is None:
                found.broken += bool(line.strip())
                continue
            _count(found, faults, record)
    found.errors = sorted(faults.values(), key=lambda fault: -fault.count)
    return found


def _count(found: Stats, faults: dict[str, Fault], record: Record) -> None:
    severity, timestamp = str(record.get("severity", "")), str(record.get("timestamp", ""))
    found.levels[severity if severity in LEVELS else "other"] += 1
    if timestamp:
        found.oldest = min(found.oldest or timestamp, timestamp)
        found.newest = max(found.newest or timestamp, timestamp)
    if severity not in ERROR_LEVELS:
        return
    fingerprint = record.get("exception.fingerprint")
    template = _varying.sub("…", str(record.get("message", "")))
    kind = record.get("exception.type")
    key = f"fingerprint {fingerprint}" if fingerprint else f"{record.get('logger')} {kind} {template}"
    fault = faults.get(key)
    if fault is None:
        if len(faults) >= _MOST_ERRORS:
            _forget_rare(faults)
        text = f"{kind}: {record.get('exception.message', '')}" if fingerprint and kind else template
        fault = faults[key] = Fault(severity, text, str(fingerprint) if fingerprint else None, timestamp)
    told = record.get("exception.count")
    if isinstance(told, int):
        fault.events += max(told, 1)
    else:
        fault.records += 1
    fault.newest = max(fault.newest, timestamp)


def _forget_rare(faults: dict[str, Fault]) -> None:
    kept = sorted(faults.items(), key=lambda item: -item[1].count)[: _MOST_ERRORS // 2]
    faults.clear()
    faults.update(kept)


def last(folder: Path, kind: str, count: int, wanted: Callable[[Record], bool]) -> tuple[list[Record], Follower]:
    """Return the last `count` records that are wanted, and what comes after them."""
    follower = Follower(folder, kind)  # first, so that nothing falls between
    newest: list[Record] = []
    for path in reversed(follower.before):
        if len(newest) >= count:
            break
        newest = [*_last_of(lines(path), count - len(newest), wanted), *newest]
    current = _last_of(iter(follower.read()), count, wanted)
    return [*newest, *current][-count:] if count else [], follower


def _last_of(of: Iterator[bytes], count: int, wanted: Callable[[Record], bool]) -> list[Record]:
    found = (record for line in of if (record := parse(line)) is not None and wanted(record))
    return list(deque(found, maxlen=count))


class Follower:
    """Reads on where the last reading ended, also in the files that the current one became and that came after."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._file = _opened(folder / f"{kind}.log")
        self._rest = b""
        known = paths(folder, kind)
        ours = next((position for position, path in enumerate(known) if self._is_ours(path)), len(known))
        #: The files before the one that it begins with.
        self.before = known[:ours]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _is_ours(self, path: Path) -> bool:
        try:
            return self._file is not None and os.path.samestat(path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def read(self) -> Iterator[bytes]:
        """Yield the whole lines that have come."""
        while True:
            current = self._folder / f"{self._kind}.log"
            moved = self._file is not None and not self._is_ours(current) and current.exists()
            if self._file is not None:
                yield from self._lines()
            if self._file is not None and not moved:
                return
            following = self._following()
            if following is None:
                return
            if self._file is not None:
                self._file.close()
            self._file, self._rest = following, b""

    def _lines(self) -> Iterator[bytes]:
        if self._file is None:
            return
        while chunk := self._file.read(65_536):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from whole

    def _following(self) -> Any:
        """Return the file after ours, opened, or None."""
        known = [each for each in paths(self._folder, self._kind) if each.suffix != ".gz"]
        ours = next((position for position, path in enumerate(known) if self._is_ours(path)), None)
        if ours is not None:
            known = known[ours + 1 :]
        elif self._file is not None:  # compressed or removed since
            age = os.fstat(self._file.fileno()).st_mtime_ns
            known = [path for path in known if path.exists() and path.stat().st_mtime_ns > age]
        else:
            known = [path for path in known if path not in self.before]
        return next((file for path in known if (file := _opened(path)) is not None), None)


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReadingError(f"{path} can't be read ({error.strerror}): use the user that runs the bot") from None
