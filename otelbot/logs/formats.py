"""A log record as a dictionary, as a JSON line and as a line for people.

Everything in the dictionary is scrubbed, and what every JSON parser takes: numbers that JSON has not, lone surrogates
and objects become text. One record is one line, also for readers that take U+2028 for the end of one.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING, Any

from otelbot.export.scrubber import scrub_key, scrub_text
from otelbot.privacy import exception_message

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
#: The levels that go into errors.log as well.
ERRORS = frozenset({"ERROR", "FATAL"})

_DEEPEST = 8  # levels of nesting; what lies deeper becomes text
_line_ends = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_control = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARN": "33", "ERROR": "31", "FATAL": "1;31"}
#: Not shown to people: the same in every line, or shown in another way.
_UNSHOWN = frozenset(
    "timestamp severity logger message event.name trace_id span_id service.name pid code.function.name code.line.number"
    " exception.stacktrace".split()
)
#: Not shown beside a stack trace, which says it.
_IN_STACK = frozenset({"exception.type", "exception.message", "exception.fingerprint"})


def as_dict(readable: ReadWriteLogRecord) -> dict[str, Any]:
    """Return what is told of a record, in the order in which it is told. Attributes overwrite nothing."""
    record = readable.log_record
    event = scrub_text(str(record.event_name)) if record.event_name else ""
    scope = readable.instrumentation_scope
    number = record.severity_number
    told: dict[str, Any] = {
        "timestamp": _timestamp(record.timestamp or record.observed_timestamp),
        "severity": _severity(number.value if number is not None else 0),
        "logger": scrub_text(scope.name) if scope is not None else "",
        "message": _message(record.body, event),
    }
    if event:
        told["event.name"] = event
    if record.trace_id:
        told["trace_id"] = f"{record.trace_id:032x}"
    if record.span_id:
        told["span_id"] = f"{record.span_id:016x}"
    resource = readable.resource
    told["service.name"] = scrub_text(str(resource.attributes.get("service.name", ""))) if resource is not None else ""
    told["pid"] = os.getpid()
    for key, value in (record.attributes or {}).items():
        name = scrub_key(key)
        told.setdefault(name if name not in told else f"attributes.{name}", plain(value))
    return told


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON can hold it, scrubbed."""
    try:
        if isinstance(value, str):
            return scrub_text(str(value))
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**63 else scrub_text(str(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return scrub_text(bytes(value).decode(errors="replace"))
        if isinstance(value, BaseException):
            return scrub_text(exception_message(value))
        if depth < _DEEPEST:
            if isinstance(value, Mapping):
                return {scrub_key(key): plain(each, depth + 1) for key, each in value.items()}
            if isinstance(value, list | tuple | AbstractSet):
                return [plain(each, depth + 1) for each in value]
        return scrub_text(str(value))
    except Exception:  # an object of the bot's that does not print, a number of too many digits
        return f"<{type(value).__name__}>"


def json_line(told: Mapping[str, Any]) -> str:
    """Return a record as one JSON object without a line's end."""
    line = json.dumps(told, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
    return line if line.isascii() else line.translate(_line_ends)


def ascii_only(line: str) -> str:
    """Return a line for a stream that takes nothing but ASCII. Of a JSON line the meaning stays."""
    return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in line)


def console_line(told: Mapping[str, Any], *, colours: bool = False) -> str:
    """Return a record for people, in local time; a stack trace follows on lines of its own."""
    severity = str(told.get("severity", ""))
    shown = f"{severity:<5}"
    if colours:
        shown = f"\x1b[{_COLOURS.get(severity, '0')}m{shown}\x1b[0m"
    name = _readable(told.get("event.name") or told.get("logger") or "")
    words = [_local(told.get("timestamp")), shown, name]
    message = _readable(told.get("message", ""))
    if message and message != name:
        words.append(message)
    stack = told.get("exception.stacktrace")
    pairs = [
        f"{_readable(key)}={_value(value)}"
        for key, value in told.items()
        if key not in _UNSHOWN and not (stack and key in _IN_STACK)
    ]
    if trace := told.get("trace_id"):
        pairs.append(f"trace={_readable(trace)[:8]}")
    if pairs:
        attributes = " ".join(pairs)
        words.append(f"\x1b[2m{attributes}\x1b[0m" if colours else attributes)
    line = " ".join(words)
    if stack:
        line += "\n" + _readable(stack).rstrip("\n")
    return line.replace("\n", "\n    ")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[\s\"]", text) else _readable(text)


def _readable(value: Any) -> str:
    """Return text that can't command the terminal."""
    return _control.sub(lambda found: f"\\x{ord(found.group()):02x}", str(value).replace("\r\n", "\n"))


def _local(timestamp: Any) -> str:
    try:
        moment = datetime.fromisoformat(str(timestamp).replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        return _readable(timestamp or "-")
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _timestamp(nanoseconds: int | None) -> str:
    try:
        seconds, rest = divmod(nanoseconds or time.time_ns(), 1_000_000_000)
        moment = time.gmtime(seconds)
    except (ValueError, OverflowError, OSError):  # a record that somebody made by hand
        return _timestamp(time.time_ns())
    if not 1000 <= moment.tm_year <= 9999:
        return _timestamp(time.time_ns())
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{rest // 1000:06d}Z"


def _severity(number: int) -> str:
    """Return the level of an OpenTelemetry severity number: four numbers a level, the traces' before debug's."""
    return LEVELS[min(max((number - 5) // 4, 0), 4)] if number > 0 else "INFO"


def _message(body: Any, event: str) -> str:
    if body is None:
        return event
    told = plain(body)
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def levels_from(least: str) -> Sequence[str]:
    """Return `least` and the levels above it."""
    return LEVELS[LEVELS.index(least) :]
