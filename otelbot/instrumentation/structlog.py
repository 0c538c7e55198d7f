"""structlog's events become log records where structlog prints them by itself; over `logging` they are records anyway.

An event is seen as the last processor gets it, before it becomes a text: what the bot's processors left out stays out.
It is captured when its text is printed, so that one which a processor drops is not. Nothing is put on the stack while
processors run: they look there for the line that logged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from otelbot.instrumentation import logging as capturing
from otelbot.instrumentation.log_records import error_of, event_contents
from otelbot.instrumentation.patching import Patches, never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What processors add that a log record says anyway.
_REPEATED = frozenset({"level", "log_level", "timestamp"})
_LEVELS = {
    "debug": logging.DEBUG,
    **dict.fromkeys(("info", "msg", "log"), logging.INFO),
    **dict.fromkeys(("warning", "warn"), logging.WARNING),
    **dict.fromkeys(("error", "err", "failure", "exception"), logging.ERROR),
    **dict.fromkeys(("critical", "fatal"), logging.CRITICAL),
}


class _Event(threading.local):
    """What this thread is logging."""

    def __init__(self) -> None:
        self.logger: Any = None
        self.values: dict[Any, Any] | None = None  # at the end of the processors
        self.error: BaseException | None = None
        self.bound: frozenset[Any] = frozenset()  # keys at their beginning


_event = _Event()


def instrument() -> None:
    """Capture what the loggers print that structlog brings."""
    import structlog
    from structlog._base import BoundLoggerBase

    printing = (structlog.PrintLogger, structlog.WriteLogger, structlog.BytesLogger)
    # A property of the class is found before what an instance holds: loggers that were made before have it too.
    BoundLoggerBase._processors = property(partial(_processors, printing), _set_processors)  # type: ignore[assignment]  # noqa: SLF001
    patches = Patches()
    for kind in printing:
        for name in _LEVELS.keys() & vars(kind).keys():
            patches.method(kind, name, partial(_method, name))


class _Processors(list[Any]):
    """A bot's processors, run with two more."""

    def __init__(self, original: Any) -> None:
        super().__init__(original)
        self.original = original

    def __repr__(self) -> str:
        return repr(self.original)

    def __iter__(self) -> Iterator[Any]:
        yield _begin
        for position in range(len(self) - 1):
            yield self[position]
        yield _end
        yield from self[-1:]


def _processors(printing: tuple[type, ...], self: Any) -> Any:
    try:
        original = vars(self)["_processors"]
    except KeyError:
        raise AttributeError("_processors") from None
    if capturing.capture() is None or not isinstance(vars(self).get("_logger"), printing):
        return original
    return _Processors(original)


def _set_processors(self: Any, processors: Any) -> None:
    vars(self)["_processors"] = processors.original if isinstance(processors, _Processors) else processors


def _begin(_logger: Any, _method: str, event: Any) -> Any:
    _note_begin(event)
    return event


@never_raises
def _note_begin(event: Any) -> None:
    _event.bound = frozenset(event)
    _event.error = error_of(event.get("exc_info"))


def _end(logger: Any, method: str, event: Any) -> Any:
    _note_end(logger, method, event)
    return event


@never_raises
def _note_end(logger: Any, method: str, event: Any) -> None:
    if isinstance(event, Mapping):
        _event.logger, _event.values = logger, dict(event)
        if method == "exception":
            _event.error = _event.error or error_of(event.get("exc_info", True))


def _method(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        _capture(self, name, *args)
        return original(self, *args, **kwargs)

    return method


@never_raises
def _capture(logger: Any, method: str, text: Any = "", *_more: Any) -> None:
    values, error = (_event.values, _event.error) if _event.logger is logger else (None, None)
    bound = _event.bound
    _event.logger = _event.values = _event.error = None
    capture = capturing.capture()
    if capture is None:
        return
    if values is None:  # not by a bound logger of structlog's
        values = {"event": text.decode(errors="replace") if isinstance(text, bytes | bytearray) else text}
    name, place = _caller()
    name = str(values.pop("logger", None) or getattr(logger, "name", None) or name)
    body, attributes, error = event_contents(values, error, without=_REPEATED - bound)
    level = _LEVELS[method]
    capture.tell(name, (level, logging.getLevelName(level)), time.time(), body, attributes | place, error)


def _caller() -> tuple[str, dict[str, Any]]:
    """Return the module that logged, and where in it; of an `ainfo` too, which runs in another thread."""
    from structlog._frames import _find_first_app_frame_and_name

    frame, name = _find_first_app_frame_and_name(["otelbot.instrumentation"])
    return name, {"code.function.name": frame.f_code.co_name, "code.line.number": frame.f_lineno}
