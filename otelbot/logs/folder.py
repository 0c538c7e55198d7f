"""The folder of log files on disk: appending under its lock, putting aside, compressing and removing.

`bot.log` is what is written now; `bot.20261128-101500.log` was put aside then, `.gz` is that compressed. Whoever puts
a file aside holds the lock, and whoever writes looks under the lock whether the file is still the one it has open.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOT, ERRORS = "bot", "errors"
KINDS = (BOT, ERRORS)

_LOCK, _HOUSEKEEPING_LOCK = ".otelbot.lock", ".otelbot.housekeeping.lock"
_MODE = 0o640
_aside = re.compile(r"(bot|errors)\.(\d{8}-\d{6})(?:-(\d+))?\.log(\.gz)?")
_unfinished = re.compile(r"\.(?:bot|errors)\.[\d-]+\.log\.gz\.tmp")
_DAY = 86_400
_CHUNK = 256 * 1024  # bytes that are compressed at once
_MOST = 1024 * 1024  # bytes that are written at once
#: What file systems answer that know no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class Rotation(NamedTuple):
    """When a file is put aside and what then becomes of it.

    :param max_bytes: None for rotation at local midnight.
    :param backups: files of each kind that are kept.
    """

    max_bytes: int | None
    backups: int
    gzip_days: float
    keep_days: float


class Aside(NamedTuple):
    """A file that was put aside. Sorts by age, the oldest first."""

    modified: int  # nanoseconds; compressing keeps it
    stamp: str
    number: int
    path: str
    compressed: bool


def put_aside(folder: str, kind: str) -> list[Aside]:
    """Return the files that were put aside, the oldest first. Raises OSError where the folder can't be read."""
    found: list[Aside] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _aside.fullmatch(entry.name)
            if match is None or match[1] != kind:
                continue
            with suppress(FileNotFoundError):  # another process may be at it
                modified = entry.stat().st_mtime_ns
                found.append(Aside(modified, match[2], int(match[3] or 0), entry.path, bool(match[4])))
    return sorted(found)


def without_twins(files: Sequence[Aside]) -> list[Aside]:
    """Return files without those that are there compressed as well, which a crash leaves behind."""
    paths = {each.path for each in files}
    return [each for each in files if f"{each.path}.gz" not in paths]


class Folder:
    """A folder of log files, and its locks."""

    def __init__(self, path: str, rotation: Rotation) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - the bot may change its folder
        self.rotation = rotation
        self._held: set[int] = set()

    def after_fork_in_child(self) -> None:
        """Let go of locks that the parent holds: they would last as long as the child."""
        while self._held:
            with suppress(OSError):
                os.close(self._held.pop())

    def current(self, kind: str) -> str:
        return f"{self.path}/{kind}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which every process that writes takes. Makes the folder where it is missing."""
        fd = self._open(_LOCK)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # a child that was forked meanwhile holds it too, and does not know
            self._close(fd)

    def _open(self, name: str) -> int:
        os.makedirs(self.path, exist_ok=True)  # noqa: PTH103
        fd = os.open(f"{self.path}/{name}", os.O_RDONLY | os.O_CREAT, _MODE)
        self._held.add(fd)
        return fd

    def _close(self, fd: int) -> None:
        self._held.discard(fd)
        os.close(fd)

    def housekeeping(self) -> Iterator[None]:
        """Remove and compress what is old, in small steps. One process at a time; the others leave it to that one.

        With a lock of its own: nobody who writes waits for it.
        """
        fd = self._open(_HOUSEKEEPING_LOCK)
        try:
            with suppress(BlockingIOError):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno not in _NO_LOCKS:
                        raise
                self._remove_unfinished()
                for kind in KINDS:
                    yield from self._tidy(kind)
        finally:
            self._close(fd)  # not unlocked: where this is a forked child's copy, the parent still works

    def _remove_unfinished(self) -> None:
        for name in os.listdir(self.path):  # noqa: PTH208
            if _unfinished.fullmatch(name):
                os.unlink(f"{self.path}/{name}")  # noqa: PTH108

    def _tidy(self, kind: str) -> Iterator[None]:
        every = put_aside(self.path, kind)
        files = without_twins(every)
        for twin in set(every) - set(files):
            os.unlink(twin.path)  # noqa: PTH108 - what was compressed in full before a crash
        now = time.time()
        for position, file in enumerate(files):
            age = (now - file.modified / 1e9) / _DAY
            if age > self.rotation.keep_days or position < len(files) - self.rotation.backups:
                os.unlink(file.path)  # noqa: PTH108
            elif age > self.rotation.gzip_days and not file.compressed:
                yield from self._compress(file.path)
            yield

    def _compress(self, path: str) -> Iterator[None]:
        """Compress a file, complete or not at all: the plain one goes once the other is safely on disk."""
        unfinished = f"{self.path}/.{os.path.basename(path)}.gz.tmp"  # noqa: PTH119
        source = os.open(path, os.O_RDONLY)
        target = -1
        try:
            target = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
            compressor = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: as gzip
            while chunk := os.read(source, _CHUNK):
                _write_all(target, compressor.compress(chunk))
                yield
            _write_all(target, compressor.flush())
            before = os.fstat(source)
            os.utime(unfinished, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(target)
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)
        os.rename(unfinished, f"{path}.gz")  # noqa: PTH104
        self._sync()
        os.unlink(path)  # noqa: PTH108

    def _sync(self) -> None:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_all(fd: int, encoded: bytes) -> None:
    left = memoryview(encoded)
    while left:
        left = left[os.write(fd, left) :]


class LogFile:
    """bot.log or errors.log of a folder, as one process has it open."""

    def __init__(self, folder: Folder, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._path = folder.current(kind)
        self._fd = -1
        self._day = ""  # of the newest line that is known to be in it
        #: Why it could not be put aside last time; it is then written on.
        self.rotation_failure: OSError | None = None

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def write(self, lines: Sequence[bytes]) -> Iterator[tuple[int, bool]]:
        """Append whole lines, and yield of each part how many they were and whether a file was put aside for them.

        Raises OSError; then nothing is in the file of what was not yielded.
        """
        with self._folder.locked():
            self._open_current()
            position = 0
            while position < len(lines):
                size = os.fstat(self._fd).st_size
                aside = size > 0 and self._due(size + len(lines[position])) and self._put_aside()
                size = 0 if aside else size
                end, length = position + 1, len(lines[position])
                most = min(_MOST, (self._folder.rotation.max_bytes or sys.maxsize) - size)
                while end < len(lines) and length + len(lines[end]) <= most:
                    length += len(lines[end])
                    end += 1
                # A process that was killed in the middle of a line must not spoil the next one.
                cut = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
                self._append((b"\n" if cut else b"") + b"".join(lines[position:end]), size)
                yield end - position, aside
                position = end

    def _open_current(self) -> None:
        if self._fd >= 0 and not self._is_current():
            self.close()
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _MODE)
            opened = os.fstat(self._fd)
            self._day = _day(opened.st_mtime) if opened.st_size else ""

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _due(self, size: int) -> bool:
        if self._folder.rotation.max_bytes is not None:
            return size > self._folder.rotation.max_bytes
        return (self._day or _day(os.fstat(self._fd).st_mtime)) < _day(time.time())

    def _put_aside(self) -> bool:
        """Rename the file, never over another one, and begin a new one. Returns whether that could be done."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(time.time()))
        number = 0
        while True:
            name = f"{self._folder.path}/{self._kind}.{stamp}{f'-{number}' if number else ''}.log"
            if not os.path.lexists(name) and not os.path.lexists(f"{name}.gz"):
                break
            number += 1
        try:
            os.rename(self._path, name)  # noqa: PTH104
        except OSError as error:
            self.rotation_failure = error
            return False
        self.rotation_failure = None
        self._open_current()
        return True

    def _append(self, encoded: bytes, size: int) -> None:
        try:
            _write_all(self._fd, encoded)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, size)  # so that no line is cut, or doubled when it is written again
            raise
        self._day = _day(time.time())


def _day(moment: float) -> str:
    return time.strftime("%Y%m%d", time.localtime(moment))
