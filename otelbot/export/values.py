"""Attribute values, scopes and resources as OTLP protobuf, scrubbed, with what repeats encoded once.

Names, attribute keys, and the values of a key while they are few are kept encoded. What is kept is scrubbed, so it is
forgotten when another secret becomes known, and when it takes too much memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

from otelbot import privacy
from otelbot.export import protobuf
from otelbot.export.protobuf import FIXED64, LENGTH, VARINT, sized, tag, varint
from otelbot.export.scrubber import scrub_and_cut, scrub_key, scrub_text

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_MOST_VALUES = 256  # of one key, past which they are taken for ids and encoded each time
_MOST_TEXTS = 1024  # keys, names
_MOST_SCOPES = 256
_MOST_RESOURCES = 64
_LONGEST_KEPT = 1024  # bytes
_MOST_KEPT = 2**20  # bytes of texts and values
_OVERHEAD = 150  # bytes that Python takes for something kept, beside itself

_LISTS, _BYTES = (list, tuple), (bytes, bytearray, memoryview)

_STRING, _BOOL, _INT, _DOUBLE = tag(1, LENGTH), tag(2, VARINT), tag(3, VARINT), tag(4, FIXED64)
_ARRAY, _MAPPING = tag(5, LENGTH), tag(6, LENGTH)
_KEY, _VALUE, _ITEM = tag(1, LENGTH), tag(2, LENGTH), tag(1, LENGTH)
_NAME, _VERSION, _SCOPE_ATTRIBUTES = tag(1, LENGTH), tag(2, LENGTH), tag(3, LENGTH)
_RESOURCE_ATTRIBUTES = tag(1, LENGTH)


class _OddKeyError(Exception):
    """A key that is no text, or that the scrubber changes, so that two may become one."""


class _Texts(dict[str, bytes]):
    """Texts, encoded, each with its length."""

    def __init__(self, known: _Known) -> None:
        self._known = known

    def __missing__(self, text: str) -> bytes:
        encoded = sized(encode_text(text))
        if len(self) < _MOST_TEXTS:
            self._known.keep(self, text, encoded)
        return encoded


class _Values(dict[str | int, bytes]):
    """The values of one attribute key, each encoded as a whole `KeyValue` with its length. Texts and integers only."""

    __slots__ = ("_known", "_learning", "_prefix")

    def __init__(self, known: _Known, key: str) -> None:
        self._known = known
        self._learning = True
        self._prefix = _KEY + sized(key.encode()) + _VALUE

    def __missing__(self, value: str | int) -> bytes:
        pair = self.encode(value)
        if self._learning:
            if len(self) < _MOST_VALUES:
                self._known.keep(self, value, pair)
            else:
                self._learning = False
                self.clear()
        return pair

    def encode(self, value: Any) -> bytes:
        encoded = encode_value(value)
        return sized(self._prefix + varint(len(encoded)) + encoded)


class _Keys(dict[str, _Values]):
    def __init__(self, known: _Known) -> None:
        self._known = known

    def __missing__(self, key: str) -> _Values:
        if not isinstance(key, str) or scrub_text(key) != key:
            raise _OddKeyError
        values = _Values(self._known, key)
        if len(self) < _MOST_TEXTS and len(key) <= _LONGEST_KEPT:
            self[key] = values
        else:
            values._learning = False  # noqa: SLF001 - it is thrown away
        return values


class _Known:
    """What has been encoded, and with how many secrets known. A thread that still uses an old one spoils nothing."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.room = _MOST_KEPT
        self.keys = _Keys(self)
        self.texts = _Texts(self)
        self.scopes: dict[InstrumentationScope, bytes] = {}
        self.resources: dict[int, tuple[Resource, bytes]] = {}

    def keep(self, where: dict[Any, bytes], what: str | int, encoded: bytes) -> None:
        if len(encoded) <= _LONGEST_KEPT:
            where[what] = encoded
            self.room -= 2 * len(encoded) + _OVERHEAD


_known = _Known(privacy.generation)


def _current() -> _Known:
    global _known  # noqa: PLW0603 - one process, one memory
    if _known.generation != privacy.generation or _known.room < 0:
        _known = _Known(privacy.generation)
    return _known


def encode_text(text: str) -> bytes:
    """Return `text` scrubbed, cut and as UTF-8, with lone surrogates replaced."""
    return scrub_and_cut(text).encode(errors="replace")


def encode_name(text: str) -> bytes:
    """Return a text that repeats, encoded, with its length."""
    return _current().texts[text]


def encode_value(value: Any) -> bytes:
    """Return the body of an `AnyValue`, scrubbed: of the same kinds, and changed in the same way, as `scrub_value`."""
    if isinstance(value, str):
        return _STRING + sized(encode_text(value))
    if isinstance(value, bool):
        return _BOOL + (b"\x01" if value else b"\x00")
    if isinstance(value, int):
        return _INT + varint(value) if -(2**63) <= value < 2**63 else _STRING + sized(encode_text(str(value)))
    if isinstance(value, float):
        return _DOUBLE + protobuf.double(value)
    if value is None:
        return b""
    if isinstance(value, _LISTS):  # the usual ones first: the check of an abstract class takes half a microsecond
        return _ARRAY + sized(b"".join([_ITEM + sized(encode_value(item)) for item in value]))
    if isinstance(value, _BYTES):
        return _STRING + sized(encode_text(bytes(value).decode(errors="replace")))
    if isinstance(value, Mapping):
        return _MAPPING + sized(_odd_pairs(_ITEM, value))
    if isinstance(value, Sequence):
        return encode_value(tuple(value))
    return _STRING + sized(encode_text(str(value)))


def encode_attributes(field: bytes, attributes: Mapping[str, Any]) -> bytes:
    """Return attributes as a repeated `KeyValue`, scrubbed.

    :param field: the tag of the field that they are in.
    """
    if type(attributes) is BoundedAttributes:
        attributes = attributes._dict  # noqa: SLF001 - its iterator takes a lock and makes a list
    keys = _current().keys
    try:
        pairs = [
            keys[key][value] if type(value) is str or type(value) is int else keys[key].encode(value)
            for key, value in attributes.items()
        ]
    except _OddKeyError:
        return _odd_pairs(field, attributes)
    return field + field.join(pairs) if pairs else b""


def _odd_pairs(field: bytes, attributes: Mapping[Any, Any]) -> bytes:
    """As `encode_attributes`, for any keys, and without keeping them. Of keys that become one the last value counts."""
    scrubbed = {scrub_key(key): value for key, value in attributes.items()}
    return b"".join(
        [
            field + sized(_KEY + sized(key.encode()) + _VALUE + sized(encode_value(value)))
            for key, value in scrubbed.items()
        ]
    )


def encode_scope(scope: InstrumentationScope | None) -> bytes:
    """Return the body of an `InstrumentationScope`, scrubbed."""
    if scope is None:
        return b""
    known = _current().scopes
    encoded = known.get(scope)
    if encoded is None:
        encoded = _NAME + sized(encode_text(scope.name))
        if scope.version:
            encoded += _VERSION + sized(encode_text(scope.version))
        if scope.attributes:
            encoded += encode_attributes(_SCOPE_ATTRIBUTES, scope.attributes)
        if len(known) < _MOST_SCOPES:
            known[scope] = encoded
    return encoded


def encode_resource(resource: Resource) -> bytes:
    """Return the body of a `Resource`, scrubbed."""
    known = _current().resources
    found = known.get(id(resource))
    if found is None or found[0] is not resource:
        found = resource, encode_attributes(_RESOURCE_ATTRIBUTES, resource.attributes)
        if len(known) < _MOST_RESOURCES:
            known[id(resource)] = found
    return found[1]
