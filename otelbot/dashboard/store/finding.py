"""Text search, whatever the case: in texts, and in protobuf messages without decoding them.

A message has its texts in UTF-8 as they are; whole numbers and ids are looked for in the form that it has them in.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otelbot.dashboard.otlp import attributes
from otelbot.dashboard.otlp.values import text as stored

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

_SHORT = 4  # bytes; fewer are found in times and ids too often


def register(db: sqlite3.Connection, text: str) -> None:
    """Give the connection `in_message(body)` of a span and `in_texts(text, …)` for SQL: whether they have `text`."""
    text = stored(text)  # a protobuf message has NUL all over
    db.create_function("in_message", 1, _in_message(text))
    db.create_function("in_texts", -1, _in_texts(text))


def _in_message(text: str) -> Callable[[bytes], bool]:
    lowered = text.lower()
    # bytes.lower() knows the case of ASCII only; that is enough for Persian, which has none.
    letters = [char for char in text if not char.isascii() and char.lower() != char.upper()]
    if letters:
        forms = {letters[0].lower(), letters[0].upper(), letters[0].title()}
        # Most bodies have none of them, and are soon done.
        may_have = re.compile(b"|".join(form.encode() for form in forms)).search
        return lambda body: bool(may_have(body)) and lowered in body.decode(errors="ignore").lower()
    encoded = lowered.encode(errors="replace")
    numbers = _numbers(text.strip())
    if len(encoded) < _SHORT:
        in_texts = _in_texts(text)
        return lambda body: (
            (encoded in body.lower() and in_texts(*_texts(body))) or any(map(body.__contains__, numbers))
        )
    if not numbers:
        return lambda body: encoded in body.lower()
    return lambda body: encoded in body.lower() or numbers[0] in body or numbers[-1] in body


def _texts(body: bytes) -> Iterator[str]:
    span = Span.FromString(body)
    yield from (span.name, span.status.message, json.dumps(attributes(span.attributes), ensure_ascii=False))
    for event in span.events:
        yield from (event.name, json.dumps(attributes(event.attributes), ensure_ascii=False))


def _in_texts(text: str) -> Callable[..., bool]:
    lowered = text.lower()
    in_json = json.dumps(text, ensure_ascii=False)[1:-1].lower()  # as attributes of logs have it

    def in_texts(*texts: str | None) -> bool:
        both = "\n".join(filter(None, texts)).lower()
        return lowered in both or in_json in both

    return in_texts


def _numbers(text: str) -> list[bytes]:
    """Return how a protobuf message has a text that is a number or an id: int_value of AnyValue, trace_id, span_id."""
    found: list[bytes] = []
    if text.isascii() and text.removeprefix("-").isdigit() and -(2**63) <= int(text[:20]) < 2**63 and len(text) <= 20:
        number = _varint(int(text) % 2**64)
        found.append(bytes([0x12, len(number) + 1, 0x18]) + number)
    if text.isascii() and len(text) in {16, 32} and text.isalnum():
        try:
            found.append(bytes.fromhex(text))
        except ValueError:
            return found
    return found


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
