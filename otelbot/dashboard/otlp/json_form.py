"""OTLP/JSON: protobuf's JSON mapping, except that trace and span ids are hexadecimal and enums are integers.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

# Attributes are lists of {key, value}, so no user data can be taken for one of these.
_IDS = {"traceId", "spanId", "parentSpanId"}
_HEXADECIMAL = re.compile("(?:[0-9a-fA-F]{2})*")


def to_otlp_json(message: Message) -> dict[str, Any]:
    """Return an export request (or any part of one) as OTLP/JSON."""
    plain = json_format.MessageToDict(message, use_integers_for_enums=True)
    converted: dict[str, Any] = _with_ids(plain, lambda text: base64.b64decode(text).hex())
    return converted


def from_otlp_json(text: str | bytes, kind: type[Message]) -> Message:
    """Read OTLP/JSON.

    :raises ValueError: when it is not a JSON encoding of that kind of message.
    """
    try:
        given = json.loads(text, parse_constant=_refuse)
        if not isinstance(given, dict):
            raise TypeError("not an object")  # noqa: TRY301
        plain = _with_ids(given, _from_hexadecimal)
        message = kind()
        # Receivers must ignore fields that they don't know.
        json_format.ParseDict(plain, message, ignore_unknown_fields=True)
        return message
    except (json_format.ParseError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _with_ids(value: Any, change: Callable[[str], str | None]) -> Any:
    if isinstance(value, list):
        return [_with_ids(item, change) for item in value]
    if isinstance(value, dict):
        # Only lowerCamelCase counts: protobuf's parser would take trace_id as well, and in base64.
        return {
            key: change(item) if key in _IDS else _with_ids(item, change)
            for key, item in value.items()
            if "_" not in key
        }
    return value


def _from_hexadecimal(ident: str | None) -> str | None:
    if ident is None:
        return None  # as if it was not there
    if not _HEXADECIMAL.fullmatch(ident):
        raise ValueError("an id is not hexadecimal")
    return base64.b64encode(bytes.fromhex(ident)).decode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON: numbers that are none are strings")
