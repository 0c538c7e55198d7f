"""Exceptions as events: each place by a fingerprint that outlives deployments, told once a minute, with a count.

The same exception passes several hands (a record of `logging`, the handler, the API call): it is reported once.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import re
import sys
import sysconfig
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from otelbot import __version__, lifecycle, settings, signals
from otelbot.privacy import exception_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from opentelemetry.trace import Span


_WINDOW = 60.0  # seconds in which a fingerprint is told once
_MOST_FINGERPRINTS = 500
_MOST_ERRORS = 50  # of a chain of causes, or of a group
_DEEPEST = 5  # groups within groups
_MARK = "__otelbot__"

_PACKAGES = re.compile(r".*[/\\](?:site|dist)-packages[/\\]")
_STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep
_OURS = str(Path(__file__).parents[1]) + os.sep
_WORKING_FOLDER = str(Path.cwd()) + os.sep
#: What differs from run to run in the name of code that is in no file: `<ipython-input-7-…>`, `<attrs generated …>`.
_accidental = re.compile(r"0x[0-9a-fA-F]+|\d+")


def fingerprint(error: BaseException) -> str:
    """Return 16 hexadecimal characters that stay the same for the same fault, in any process, wherever its lines move.

    Of classes, files, functions and source lines, of causes and groups too; neither line numbers nor values.
    """
    return _digest(_parts(error, 0))


def _digest(parts: list[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=8).hexdigest()


def _parts(error: BaseException, depth: int) -> list[str]:
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < _MOST_ERRORS:
        seen.add(id(link))
        parts.append(f"{type(link).__module__}.{type(link).__qualname__}")
        parts += _places(link)
        nested = getattr(link, "exceptions", ())
        if isinstance(nested, tuple) and depth < _DEEPEST:  # an ExceptionGroup: what its tasks raised, in any order
            members = [each for each in nested[:_MOST_ERRORS] if isinstance(each, BaseException)]
            parts += sorted({_digest(_parts(each, depth + 1)) for each in members})
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return parts


def _places(error: BaseException) -> Iterator[str]:
    """Yield the lines of the bot's own code that led to `error`, and the one that raised it, each once: recursion."""
    frames = list(walk_tb(error.__traceback__))
    told: set[str] = set()
    for position, (frame, line) in enumerate(frames, 1):
        name, library = _file(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))
        if library and position < len(frames):
            continue
        source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
        place = f"{name}\0{frame.f_code.co_name}\0{source}"
        if place not in told:
            told.add(place)
            yield place


@lru_cache(maxsize=1024)
def _file(path: str, module: str) -> tuple[str, bool]:
    """Return the name of a module's file, the same wherever it is installed, and whether it is of a library."""
    if path.startswith("<"):
        return _accidental.sub("#", path), path.startswith("<frozen")
    inside = _PACKAGES.sub("", path)
    if inside != path:
        return inside.replace("\\", "/"), True
    for folder in (_OURS, _STANDARD_LIBRARY):
        if path.startswith(folder):
            return path[len(folder) :].replace("\\", "/"), True
    parts = Path(path).parts
    if module and module != "__main__":
        depth = module.count(".") + 1 + (parts[-1] == "__init__.py")
        return "/".join(parts[-depth:]), False
    return (path[len(_WORKING_FOLDER) :].replace("\\", "/") if path.startswith(_WORKING_FOLDER) else parts[-1]), False


class _Marks:
    """What is known of exceptions, for as long as they live: their first fingerprint, and whether they are reported.

    The first, because an exception that goes on collects frames. Python's own classes can't be weakly referenced; they
    get a mark in their `__dict__`, which a bot shows of its own classes at most.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[BaseException], list[Any]]] = {}

    def of(self, error: BaseException) -> list[Any]:
        """Return `[fingerprint, reported]`, the same list for the same exception."""
        key = id(error)
        known = self._known.get(key)
        if known is not None and known[0]() is error:
            return known[1]
        mark = getattr(error, "__dict__", {}).get(_MARK)
        if type(mark) is list and len(mark) == 2:
            return mark
        mark = [fingerprint(error), False]
        try:
            entry = weakref.ref(error, lambda gone: self._forget(key, gone)), mark
        except TypeError:
            return vars(error).setdefault(_MARK, mark)  # type: ignore[no-any-return]
        known = self._known.setdefault(key, entry)  # another thread may have come first
        if known[0]() is not error:
            known = self._known[key] = entry
        return known[1]

    def _forget(self, key: int, gone: weakref.ref[BaseException]) -> None:
        known = self._known.get(key)
        if known is not None and known[0] is gone:
            del self._known[key]


class _Window:
    """What was told of a fingerprint when, and how many of it came since."""

    __slots__ = ("attributes", "body", "count", "told")

    def __init__(self) -> None:
        self.told = float("-inf")
        self.count = 0
        self.body = ""
        self.attributes: dict[str, Any] = {}


class Reporter:
    """Emits an event for an exception, at most one a minute of the same fingerprint. Never raises."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start()

    def start(self) -> None:
        """Know of nothing. After a fork too: what the parent has not told is the parent's to tell."""
        # Re-entrant: a collection of garbage in the middle may log what a task left behind.
        self._lock = threading.RLock()
        self._marks = _Marks()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def fingerprint(self, error: BaseException) -> str:
        """Return the fingerprint that `error` had when it was first seen, or "" where it has none."""
        try:
            return str(self._marks.of(error)[0])
        except Exception:  # an exception class may do anything when it is looked at
            return ""

    def report(self, error: BaseException, span: Span | None = None) -> None:
        """Report `error` once, as an event of `span`, or of the current one."""
        with suppress(Exception):
            if "errors" in settings.current().events and not lifecycle.closed():
                self._report(error, span)

    def _report(self, error: BaseException, span: Span | None) -> None:
        mark = self._marks.of(error)
        with self._lock:
            if mark[1]:
                return
            mark[1] = True
            window = self._windows.pop(mark[0], None) or _Window()
            self._windows[mark[0]] = window
            oldest = self._windows.popitem(last=False)[1] if len(self._windows) > _MOST_FINGERPRINTS else None
            window.count += 1
            now = self._clock()
            due = now - window.told >= _WINDOW
            if due:
                count, window.count, window.told = window.count, 0, now
        if oldest is not None:
            _tell_rest_of(oldest)
        if due:
            attributes: dict[str, Any] = {**exception_attributes(error), signals.EXCEPTION_FINGERPRINT: mark[0]}
            body = f"{attributes['exception.type']}: {attributes['exception.message']}"
            # Kept without the stack, which the first event of the fingerprint has.
            window.body = body[:1000]
            window.attributes = {
                key: value[:1000] for key, value in attributes.items() if key != "exception.stacktrace"
            }
            _emit(body, {**attributes, signals.EXCEPTION_COUNT: count}, span)

    def tell_rest(self) -> None:
        """Tell what came since a fingerprint was last told; at the end of the process."""
        with self._lock:
            windows = list(self._windows.values())
        for window in windows:
            with suppress(Exception):
                _tell_rest_of(window)


def _tell_rest_of(window: _Window) -> None:
    count, window.count = window.count, 0
    if count and window.attributes:
        _emit(window.body, {**window.attributes, signals.EXCEPTION_COUNT: count}, INVALID_SPAN)


def _emit(body: str, attributes: dict[str, Any], span: Span | None) -> None:
    """Emit the event, past the bot's console; None is the current span."""
    get_logger(signals.SCOPE, __version__).emit(
        LogRecord(
            timestamp=time.time_ns(),
            observed_timestamp=time.time_ns(),
            context=None if span is None else set_span_in_context(span),
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            body=body,
            attributes=attributes,
            event_name=signals.EVENT_EXCEPTION,
        )
    )


def watch_ends() -> None:
    """Report what ends the program, or one of its threads, before Python prints it."""
    program, thread = sys.excepthook, threading.excepthook

    def ends_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        if isinstance(error, Exception):
            report(error)
        return program(kind, error, trace)

    def ends_thread(ended: threading.ExceptHookArgs, /) -> Any:
        if isinstance(ended.exc_value, Exception):
            report(ended.exc_value)
        return thread(ended)

    sys.excepthook, threading.excepthook = ends_program, ends_thread


_reporter = Reporter()
report = _reporter.report
fingerprint_of = _reporter.fingerprint
lifecycle.before_end(_reporter.tell_rest)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reporter.start)
