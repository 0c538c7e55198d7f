"""OTLP's values as Python's, of the kinds that JSON has."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as a dict that JSON can hold; of a key that comes twice the last value."""
    return {text(pair.key): plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    """Return a value as JSON can hold it: bytes in base64, NaN and the infinities by name, nothing as None."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return text(value.string_value)
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        number = value.double_value
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return getattr(value, kind) if kind else None


def text(given: str) -> str:
    """Return a text without NUL, at which SQLite's functions would end it."""
    return given.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in given else given
