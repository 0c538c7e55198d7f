"""What a record of `logging` says, as body and attributes of a log record that may leave the process."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otelbot.privacy import exception_message

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What every record has; the rest was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: What structlog's ProcessorFormatter adds to a record whose message is an event.
_OF_STRUCTLOG = frozenset({"_logger", "_name"})

_DEEPEST = 5  # levels of nested extras and arguments that are looked at
_ACCESS_LOGS = frozenset({"aiohttp.access", "gunicorn.access", "uvicorn.access"})
SPECIAL = _ACCESS_LOGS | {"asyncio"}  # loggers whose messages are not told in full
_query = re.compile(r"\?[^\s\"']+")
_call = re.compile(r"\(.*\)")

#: Types of arguments and attributes that are shown as they are.
PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def contents(record: logging.LogRecord) -> tuple[str, dict[str, Any], BaseException | None]:
    """Return body, attributes and the exception of a record."""
    place = {"code.function.name": record.funcName, "code.line.number": record.lineno}
    error = error_of(record.exc_info)
    if type(record.msg) is dict and vars(record).keys() >= _OF_STRUCTLOG:
        body, attributes, bound = event_contents(record.msg)
        return body, attributes | place, error or bound
    attributes = {}
    if not _STANDARD.issuperset(vars(record)):
        extras = vars(record).items()
        attributes = {str(key): plain(value) for key, value in extras if key not in _STANDARD}
        if record.name in _ACCESS_LOGS:
            attributes = _without_queries(attributes)
    return _body(record), attributes | place, error


def event_contents(
    event: Mapping[Any, Any], error: BaseException | None = None, *, without: frozenset[str] = frozenset()
) -> tuple[str, dict[str, Any], BaseException | None]:
    """Return body, attributes and the exception of an event of structlog.

    :param error: the exception, where it is known; a processor may have made a text of it.
    :param without: keys that say what the log record says anyway.
    """
    values = {str(key): value for key, value in event.items() if key not in without}
    text = next((values.pop(key) for key in ("event", "message", "msg") if key in values), "")
    exc_info = values.pop("exc_info", None)
    error = error or error_of(exc_info)
    if error is None and "exception" in values:
        error = sys.exc_info()[1]
    if error is not None:
        values.pop("exception", None)  # with the values that its message and the variables around it hold
    args = values.pop("positional_args", None)
    body = exception_message(text) if isinstance(text, BaseException) else str(text)
    if args:
        body %= _shown(args)
    return without_values(body, error), {key: plain(value) for key, value in values.items()}, error


def error_of(exc_info: Any) -> BaseException | None:
    """Return the exception that an `exc_info` stands for: itself, the three of `sys.exc_info`, or true for now."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1] if len(exc_info) == 3 else None
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def without_values(body: str, error: BaseException | None) -> str:
    """Return a message with the text of `error` in it replaced by what may be told of it."""
    if error is None:
        return body
    text = str(error)
    return body.replace(text, exception_message(error)) if len(text) > 2 else body


def are_plain(values: Iterable[Any]) -> bool:
    return PLAIN.issuperset(map(type, values))


def plain(value: Any, depth: int = 0) -> Any:
    """Return what a log attribute may be; anything else as text, because the SDK would warn on the bot's console."""
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    try:
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {str(key): plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple) and depth < _DEEPEST:
            return [plain(each, depth + 1) for each in value]
        return exception_message(value) if isinstance(value, BaseException) else str(value)
    except Exception:  # an object of the bot's that does not print
        return f"<{type(value).__name__}>"


def _body(record: logging.LogRecord) -> str:
    """Return the message, with exceptions among its arguments shown without the data that theirs may hold."""
    if isinstance(record.msg, BaseException) and not record.args:
        return exception_message(record.msg)
    args: Any = record.args
    if not args or type(args) is not tuple or not are_plain(args):
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
