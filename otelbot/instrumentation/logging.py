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
from collections.abc import Mapping
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from opentelemetry import context, metrics
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.sdk._logs import Logger
from opentelemetry.sdk._logs._internal._logger_metrics import NoOpLoggerMetrics
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace.propagation import _SPAN_KEY

from otelbot import __version__, lifecycle, signals
from otelbot.export.exporters import OtlpLogProcessor
from otelbot.instrumentation.meters import create
from otelbot.privacy import exception_attributes, exception_message
from otelbot.tracing import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.trace import Span, SpanContext

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
_query = re.compile(r"\?[^\s\"']+")
_call = re.compile(r"\(.*\)")

#: Types of arguments and attributes that are shown as they are.
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_MOST_LOGGERS = 1000  # names that are kept

_busy = threading.local()


def instrument(provider: LoggerProvider) -> None:
    """Send a copy of every record to `provider`, from `OTEL_PYTHON_LOG_HANDLER_LEVEL` on (default: all).

    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=logging` leaves it out.
    """
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if disabled & {"logging", "*"}:
        return
    level = _LEVELS.get(os.environ.get("OTEL_PYTHON_LOG_HANDLER_LEVEL", "").strip().lower(), logging.NOTSET)
    original = logging.Logger.callHandlers
    capture = _Capture(provider)

    @wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= level and not getattr(_busy, "emitting", False):
            capture.emit(record)
        original(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]


class _Capture:
    """Counts records and hands them to `provider`."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._provider = provider
        self._records = create(metrics.get_meter(signals.SCOPE, __version__), signals.LOG_RECORDS)
        self._loggers: dict[str, _Logger] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if lifecycle.closed():
            return
        _busy.emitting = True  # the SDK logs as well: never a record about a record
        try:
            if record.name != "otelbot" and str(record.threadName).startswith(_EXPORT_THREADS):
                return
            severity, text = _severity(record.levelno)
            logger = self._loggers.get(record.name) or self._logger(record.name)
            span: Span = current().get(_SPAN_KEY) or INVALID_SPAN  # type: ignore[assignment]
            logger.emit(record, severity, span.get_span_context())
            self._records.series[(text,)](1, span)
        except Exception:  # noqa: S110 - a record that can't be rendered still reaches the bot's own handlers
            pass
        finally:
            _busy.emitting = False

    def _logger(self, name: str) -> _Logger:
        if len(self._loggers) >= _MOST_LOGGERS:
            self._loggers.clear()
        logger = self._loggers[name] = _Logger(self._provider.get_logger(name))
        return logger


@lru_cache(maxsize=128)
def _severity(level: int) -> tuple[SeverityNumber, str]:
    severity = std_to_otel(level)
    return severity, severity.name.rstrip("234")


class _Logger:
    """A logger of the SDK."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._processors: Any = getattr(logger, "_multi_log_record_processor", None)
        self._most = -1  # attributes that are none of the SDK's concern
        if (
            type(logger) is Logger
            and isinstance(logger._logger_metrics, NoOpLoggerMetrics)
            and logger._log_record_limits.max_log_record_attribute_length is None
        ):
            most = logger._log_record_limits.max_log_record_attributes
            self._most = sys.maxsize if most is None else most

    def _alone(self) -> OtlpLogProcessor | None:
        """Return the processor if it is the only one, ours, and the logger is not switched off."""
        if self._most < 0 or not self._logger._logger_config.is_enabled:
            return None
        processors = self._processors._log_record_processors
        return processors[0] if len(processors) == 1 and type(processors[0]) is OtlpLogProcessor else None

    def emit(self, record: logging.LogRecord, severity: SeverityNumber, span: SpanContext) -> None:
        """Emit a record, the SDK's way only where somebody else sees it too or attributes have to be cleaned."""
        logger = self._logger
        text = _SEVERITY_TEXT.get(record.levelname, record.levelname)
        alone = self._alone()
        if alone is not None and len(vars(record)) == _USUAL and not record.exc_info and self._most > 1:
            alone.emit_message(
                logger._instrumentation_scope,
                (int(record.created * 1e9), time.time_ns()),
                (severity._value_, text, record.funcName, record.lineno),
                _body(record),
                (span[0], span[1], span[3]),
            )
            return
        attributes = _attributes(record)
        if (
            alone is not None
            and len(attributes) <= self._most
            and "" not in attributes
            and _are_plain(attributes.values())
        ):
            alone.emit_plain(
                logger._instrumentation_scope,
                (int(record.created * 1e9), time.time_ns()),
                (severity._value_, text),
                _body(record),
                attributes,
                (span[0], span[1], span[3]),
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
