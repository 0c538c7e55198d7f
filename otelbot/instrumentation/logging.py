"""Every record of `logging` becomes a log record with the trace that it belongs to.

No handler is added: one on the root logger would silence the console of a bot that never configures logging, and turn
its later `logging.basicConfig` into nothing. Records are seen where a logger hands them to its handlers, after its
level and filters. https://github.com/open-telemetry/opentelemetry-python-contrib/issues/4034
"""
# ruff: noqa: SLF001 - what the SDK does with a record is spared where nobody else is to see it

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from functools import lru_cache, wraps
from types import FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import context, metrics
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.metrics import Observation
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace.propagation import _SPAN_KEY

from otelbot import __version__, lifecycle, signals
from otelbot.export.encoding import encode_description
from otelbot.export.exporters import FEW_ATTRIBUTES, sole_exporter
from otelbot.export.values import kept
from otelbot.instrumentation.log_records import PLAIN, SPECIAL, are_plain, contents
from otelbot.instrumentation.meters import create
from otelbot.logs import exceptions
from otelbot.privacy import exception_attributes
from otelbot.tracing import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry._logs import SeverityNumber
    from opentelemetry.metrics import CallbackOptions
    from opentelemetry.sdk._logs import LoggerProvider

F = TypeVar("F")

_USUAL = len(vars(logging.makeLogRecord({})))  # of a record's attributes, where nothing was given as `extra`
_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_EXPORT_THREADS = ("otelbot-", "Otel")
_QUEUE_THREADS = "loguru-writer-"

_MOST_LOGGERS = 1000  # names that are kept
_NOBODY: Any = SimpleNamespace(_log_record_processors=())


def instrument(provider: LoggerProvider) -> None:
    """Send a copy of every record to `provider`, from `OTEL_PYTHON_LOG_HANDLER_LEVEL` on (default: all).

    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=logging` leaves it out.
    """
    global _the_capture  # noqa: PLW0603 - one process, one capture
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if disabled & {"logging", "*"}:
        return
    level = _LEVELS.get(os.environ.get("OTEL_PYTHON_LOG_HANDLER_LEVEL", "").strip().lower(), logging.NOTSET)
    original = logging.Logger.callHandlers
    _the_capture = _Capture(provider, level)
    emit = _the_capture.emit

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= level:
            emit(record)
        original(self, record)

    logging.Logger.callHandlers = wraps(original)(part_of(logging, call_handlers))  # type: ignore[method-assign]


_the_capture: _Capture | None = None


def capture() -> _Capture | None:
    """Return what takes the records of this process, or None where they are not captured (yet)."""
    return _the_capture


def part_of(module: ModuleType, function: F) -> F:
    """Return `function`, which uses nothing global, as one of `module`.

    Who looks for the line that logged leaves out the frames of `logging`, by their file or their module's name:
    loguru's InterceptHandler, structlog, what logging prints of its own errors. Ours are to be left out with them.
    """
    known: Any = function
    code = known.__code__.replace(co_filename=module.__file__)
    return FunctionType(code, {"__name__": module.__name__}, closure=known.__closure__)  # type: ignore[return-value]


class _Busy(threading.local):
    """Which records of this thread are not to be captured: None is all are.

    The SDK logs as well, and never a record about a record; another library's record is logged once.
    """

    skips: Callable[[logging.LogRecord], bool] | None = None


busy = _Busy()


def _is_seen_otherwise(thread: str, record: logging.LogRecord) -> bool:
    """Whether a record of another thread is about the export, or was captured before it came there."""
    return thread.startswith(_EXPORT_THREADS) or (thread.startswith(_QUEUE_THREADS) and repeats_queued(record))


def _skip_all(_record: logging.LogRecord) -> bool:
    return True


def _skip_none(_record: logging.LogRecord) -> bool:
    return False


#: Whether a record of a thread of loguru's was captured as loguru's; `loguru.py` knows.
repeats_queued: Callable[[logging.LogRecord], bool] = _skip_none


class _Capture:
    """Counts records and hands them to `provider`."""

    def __init__(self, provider: LoggerProvider, level: int = logging.NOTSET) -> None:
        self._provider = provider
        self._level = level
        self._loggers: dict[str, _Logger] = {}
        self._counts: defaultdict[int, int] = defaultdict(int)  # of each level
        create(metrics.get_meter(signals.SCOPE, __version__), signals.LOG_RECORDS, self._observe)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._counts.clear)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        counts: Counter[str] = Counter()
        for level, count in self._counts.copy().items():
            counts[_severity(level)[1]] += count
        return [Observation(count, {signals.SEVERITY: text}) for text, count in counts.items()]

    def emit(self, record: logging.LogRecord) -> None:
        """Emit a record, the SDK's way only where somebody else sees it too or attributes have to be cleaned."""
        if (busy.skips is not None and busy.skips(record)) or lifecycle.closed():
            return
        try:
            thread = record.threadName
            if thread != "MainThread" and record.name != "otelbot" and _is_seen_otherwise(str(thread), record):
                return
            logger = self._loggers.get(record.name)
            if logger is None or logger.processors is not logger.all_of_them._log_record_processors:
                logger = self._logger(record.name)
            self._counts[record.levelno] += 1  # calls nothing between reading and writing: no other thread comes in
            shortcut, message, args = logger.shortcut, record.msg, record.args
            if (
                shortcut is None
                or len(record.__dict__) != _USUAL
                or record.exc_info
                or type(message) is not str
                or (args and not (type(args) is tuple and PLAIN.issuperset(map(type, args))))
                or not logger.sdks._logger_config.is_enabled
            ):
                self._emit_anything(logger, record)
                return
            span: Any = current().get(_SPAN_KEY)
            shortcut.emit_message(
                logger.sdks._instrumentation_scope,
                int(record.created * 1e9),
                kept((record.levelno, record.levelname, record.funcName, record.lineno), _describe),
                message % args if args else message,
                None if span is None else span.get_span_context(),
            )
        except Exception:  # its arguments do not fit: the bot's own handlers say so, and what it is stays
            with suppress(Exception):
                self._emit_anything(self._logger(record.name), record, str(record.msg))

    def tell(
        self,
        name: str,
        level: tuple[int, str],
        created: float,
        body: str,
        attributes: dict[str, Any],
        error: BaseException | None = None,
    ) -> None:
        """Emit what another library logs: by which logger, at which level (number, name), at which time in seconds."""
        if level[0] < self._level or busy.skips is _skip_all or lifecycle.closed():
            return
        logger = self._loggers.get(name)
        if logger is None or logger.processors is not logger.all_of_them._log_record_processors:
            logger = self._logger(name)
        self._counts[level[0]] += 1
        before, busy.skips = busy.skips, _skip_all
        try:
            logger.write(level, created, body, attributes, error)
        finally:
            busy.skips = before

    def _emit_anything(self, logger: _Logger, record: logging.LogRecord, instead: str | None = None) -> None:
        before, busy.skips = busy.skips, _skip_all
        try:
            body, attributes, error = contents(record) if instead is None else (instead, {}, None)
            logger.write((record.levelno, record.levelname), record.created, body, attributes, error)
        finally:
            busy.skips = before

    def _logger(self, name: str) -> _Logger:
        if len(self._loggers) >= _MOST_LOGGERS:
            self._loggers.clear()
        before, busy.skips = busy.skips, _skip_all
        try:
            logger = self._loggers[name] = _Logger(self._provider.get_logger(name))
        finally:
            busy.skips = before
        return logger


@lru_cache(maxsize=128)
def _severity(level: int) -> tuple[SeverityNumber, str]:
    severity = std_to_otel(level)
    return severity, severity.name.rstrip("234")


def _describe(source: tuple[int, str, str | None, int]) -> bytes:
    """Encode what a line of code gives to each of its messages: level, its name, function, line number."""
    level, name, function, line = source
    attributes = {"code.function.name": function, "code.line.number": line}
    return encode_description(_severity(level)[0]._value_, _SEVERITY_TEXT.get(name, name), attributes)


class _Logger:
    """A logger of the SDK, and whether what it is given is seen by our processor alone."""

    def __init__(self, logger: Any) -> None:
        self.sdks = logger
        self.all_of_them = getattr(logger, "_multi_log_record_processor", _NOBODY)
        self.processors = self.all_of_them._log_record_processors
        self._alone = sole_exporter(logger)
        #: Where a message can go that has no attributes but its place in the code.
        self.shortcut = None if self._alone is None or logger.instrumentation_scope.name in SPECIAL else self._alone

    def write(
        self,
        level: tuple[int, str],
        created: float,
        body: str,
        attributes: dict[str, Any],
        error: BaseException | None,
    ) -> None:
        """Emit any record, with what there is to say of `error`."""
        if error is not None:
            attributes |= exception_attributes(error)
            attributes[signals.EXCEPTION_FINGERPRINT] = exceptions.fingerprint_of(error)
        self._write(level, int(created * 1e9), body, attributes)
        if error is not None and level[0] >= logging.ERROR:
            exceptions.report(error)

    def _write(self, level: tuple[int, str], created: int, body: str, attributes: dict[str, Any]) -> None:
        logger = self.sdks
        severity = _severity(level[0])[0]
        text = _SEVERITY_TEXT.get(level[1], level[1])
        if (
            self._alone is not None
            and logger._logger_config.is_enabled
            and len(attributes) <= FEW_ATTRIBUTES
            and "" not in attributes
            and are_plain(attributes.values())
        ):
            span: Any = current().get(_SPAN_KEY) or INVALID_SPAN
            trace_id, span_id, _, flags, *_ = span.get_span_context()
            self._alone.emit_plain(
                logger._instrumentation_scope,
                (created, time.time_ns()),
                (severity._value_, text),
                body,
                attributes,
                (trace_id, span_id, flags),
            )
            return
        logger.emit(
            timestamp=created,
            observed_timestamp=time.time_ns(),
            context=context.get_current(),
            severity_text=text,
            severity_number=severity,
            body=body,
            attributes=attributes,
        )
