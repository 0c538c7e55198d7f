"""OTLP/JSON: protobuf's JSON mapping, except that trace and span ids are hexadecimal and enums are integers.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

# Attributes are lists of {key, value}, so no user data can be taken for one of these.
_IDS = {"traceId", "spanId", "parentSpanId"}


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
        given = json.loads(text)
        if not isinstance(given, dict):
            raise TypeError("not an object")  # noqa: TRY301
        plain = _with_ids(given, lambda ident: base64.b64encode(bytes.fromhex(ident)).decode())
        message = kind()
        # Receivers must ignore fields that they don't know.
        json_format.ParseDict(plain, message, ignore_unknown_fields=True)
        return message
    except (json_format.ParseError, TypeError, AttributeError) as error:
        raise ValueError(f"not OTLP/JSON: {error}") from error


def _with_ids(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_with_ids(item, change) for item in value]
    if isinstance(value, dict):
        return {key: change(item) if key in _IDS else _with_ids(item, change) for key, item in value.items()}
    return value
