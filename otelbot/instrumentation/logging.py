"""Every record of `logging` becomes a log record with the trace that it belongs to.

No handler is added: one on the root logger would silence the console of a bot that never configures logging, and turn
its later `logging.basicConfig` into nothing. Records are seen where a logger hands them to its handlers, after its
level and filters. https://github.com/open-telemetry/opentelemetry-python-contrib/issues/4034
"""
# ruff: noqa: SLF001 - what the SDK does with a record is spared where nobody else is to see it

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from opentelemetry import context, metrics
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import Logger
from opentelemetry.sdk._logs._internal._logger_metrics import NoOpLoggerMetrics
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace.propagation import _SPAN_KEY

from otelbot import __version__, lifecycle, signals
from otelbot.export.encoding import encode_description
from otelbot.export.exporters import OtlpLogProcessor
from otelbot.export.values import kept
from otelbot.instrumentation.meters import create
from otelbot.privacy import exception_attributes, exception_message
from otelbot.tracing import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry._logs import SeverityNumber
    from opentelemetry.metrics import CallbackOptions
    from opentelemetry.sdk._logs import LoggerProvider

#: What every record has; the rest was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
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

_DEEPEST = 5  # levels of nested extras and arguments that are looked at
_ACCESS_LOGS = frozenset({"aiohttp.access", "gunicorn.access", "uvicorn.access"})
_SPECIAL = _ACCESS_LOGS | {"asyncio"}  # loggers whose messages are not told in full
_query = re.compile(r"\?[^\s\"']+")
_call = re.compile(r"\(.*\)")

#: Types of arguments and attributes that are shown as they are.
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_MOST_LOGGERS = 1000  # names that are kept
_NOBODY: Any = SimpleNamespace(_log_record_processors=())


def instrument(provider: LoggerProvider) -> None:
    """Send a copy of every record to `provider`, from `OTEL_PYTHON_LOG_HANDLER_LEVEL` on (default: all).

    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=logging` leaves it out.
    """
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if disabled & {"logging", "*"}:
        return
    level = _LEVELS.get(os.environ.get("OTEL_PYTHON_LOG_HANDLER_LEVEL", "").strip().lower(), logging.NOTSET)
    original = logging.Logger.callHandlers
    emit = _Capture(provider).emit

    @wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= level:
            emit(record)
        original(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]


class _Busy(threading.local):
    """Whether the SDK is being handed a record in this thread: it logs as well, and never a record about a record."""

    emitting = False


_busy = _Busy()


class _Capture:
    """Counts records and hands them to `provider`."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._provider = provider
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
        if _busy.emitting or lifecycle.closed():
            return
        try:
            thread = record.threadName
            if thread != "MainThread" and record.name != "otelbot" and str(thread).startswith(_EXPORT_THREADS):
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
                or (args and not (type(args) is tuple and _PLAIN.issuperset(map(type, args))))
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
        except Exception:  # noqa: S110 - a record that can't be rendered still reaches the bot's own handlers
            pass

    def _emit_anything(self, logger: _Logger, record: logging.LogRecord) -> None:
        _busy.emitting = True
        try:
            logger.emit(record)
        finally:
            _busy.emitting = False

    def _logger(self, name: str) -> _Logger:
        if len(self._loggers) >= _MOST_LOGGERS:
            self._loggers.clear()
        _busy.emitting = True
        try:
            logger = self._loggers[name] = _Logger(self._provider.get_logger(name))
        finally:
            _busy.emitting = False
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
        self._alone: OtlpLogProcessor | None = None
        self._most = 0  # attributes that are none of the SDK's concern
        #: Where a message can go that has no attributes but its place in the code.
        self.shortcut: OtlpLogProcessor | None = None
        if (
            type(logger) is Logger
            and isinstance(logger._logger_metrics, NoOpLoggerMetrics)
            and logger._log_record_limits.max_log_record_attribute_length is None
            and len(self.processors) == 1
            and type(self.processors[0]) is OtlpLogProcessor
        ):
            self._alone = self.processors[0]
            most = logger._log_record_limits.max_log_record_attributes
            self._most = sys.maxsize if most is None else most
            if self._most > 1 and logger.instrumentation_scope.name not in _SPECIAL:
                self.shortcut = self._alone

    def emit(self, record: logging.LogRecord) -> None:
        """Emit any record."""
        logger = self.sdks
        severity = _severity(record.levelno)[0]
        text = _SEVERITY_TEXT.get(record.levelname, record.levelname)
        attributes = _attributes(record)
        if (
            self._alone is not None
            and logger._logger_config.is_enabled
            and len(attributes) <= self._most
            and "" not in attributes
            and _are_plain(attributes.values())
        ):
            span: Any = current().get(_SPAN_KEY) or INVALID_SPAN
            trace_id, span_id, _, flags, *_ = span.get_span_context()
            self._alone.emit_plain(
                logger._instrumentation_scope,
                (int(record.created * 1e9), time.time_ns()),
                (severity._value_, text),
                _body(record),
                attributes,
                (trace_id, span_id, flags),
            )
            return
        logger.emit(
            timestamp=int(record.created * 1e9),
            observed_timestamp=time.time_ns(),
            context=context.get_current(),
            severity_text=text,
            severity_number=severity,
            body=_body(record),
            attributes=attributes,
        )


def _attributes(record: logging.LogRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if not _STANDARD.issuperset(vars(record)):
        extras = vars(record).items()
        attributes = {str(key): _plain(value) for key, value in extras if key not in _STANDARD}
        if record.name in _ACCESS_LOGS:
            attributes = _without_queries(attributes)
    attributes["code.function.name"] = record.funcName
    attributes["code.line.number"] = record.lineno
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        attributes |= exception_attributes(error)
    return attributes


def _are_plain(values: Iterable[Any]) -> bool:
    return _PLAIN.issuperset(map(type, values))


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what a log attribute may be; anything else as text, because the SDK would warn on the bot's console."""
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    try:
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {str(key): _plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple) and depth < _DEEPEST:
            return [_plain(each, depth + 1) for each in value]
        return exception_message(value) if isinstance(value, BaseException) else str(value)
    except Exception:  # an object of the bot's that does not print
        return f"<{type(value).__name__}>"


def _body(record: logging.LogRecord) -> str:
    """Return the message, with exceptions among its arguments shown without the data that theirs may hold."""
    if isinstance(record.msg, BaseException) and not record.args:
        return exception_message(record.msg)
    args: Any = record.args
    if not args or type(args) is not tuple or not _are_plain(args):
        args = _shown(args)
    body = str(record.msg) % args if args else str(record.msg)
    if record.name == "asyncio":  # asyncio shows a callback's arguments, and the exception of a task nobody awaited
        return _call.sub("(…)", body.partition("\n")[0])
    return str(_without_queries(body)) if record.name in _ACCESS_LOGS else body


def _without_queries(value: Any) -> Any:
    """Leave the queries of URLs out of a text, also one that stands in a dictionary."""
    if isinstance(value, dict):
        return {key: _without_queries(each) for key, each in value.items()}
    return _query.sub("?…", value) if isinstance(value, str) else value


def _shown(argument: Any, depth: int = 0) -> Any:
    """Return an argument of a message with the exceptions in it, at any place, replaced by what may be told of them."""
    if isinstance(argument, BaseException):
        return exception_message(argument)
    if type(argument) in {tuple, list} and depth < _DEEPEST:
        return type(argument)(_shown(each, depth + 1) for each in argument)
    if type(argument) is dict and depth < _DEEPEST:
        return {key: _shown(each, depth + 1) for key, each in argument.items()}
    return argument
