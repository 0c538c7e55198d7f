"""Attribute values, scopes and resources as OTLP protobuf, scrubbed, with what repeats encoded once.

Names, attribute keys, and the values of a key while they are few are kept encoded. What is kept is scrubbed, so it is
forgotten when another secret becomes known, and when it takes too much memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.attributes import BoundedAttributes

from otelbot import privacy
from otelbot.export import protobuf
from otelbot.export.protobuf import FIXED64, LENGTH, VARINT, sized, tag, varint
from otelbot.export.scrubber import cut, scrub_key, scrub_text
from otelbot.privacy import scrub_anew

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

K = TypeVar("K", bound=Hashable)

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


class _Key:
    """What is common to all values of one attribute key in one field, and the integers that it has had."""

    __slots__ = ("field", "integers", "prefix", "room")

    def __init__(self, field: bytes, key: str) -> None:
        self.field = field
        self.prefix = _KEY + sized(key.encode()) + _VALUE
        self.room = _MOST_VALUES  # for more of them; where it has ended they are ids, and encoded each time
        self.integers: dict[int, bytes] = {}

    def encode(self, value: Any) -> bytes:
        encoded = encode_value(value)
        return self.field + sized(self.prefix + varint(len(encoded)) + encoded)


class _Pairs(dict[tuple[str, Any], bytes]):
    """Attributes, each encoded as a whole `KeyValue` with its length and the tag of the field that they are in.

    Only texts are kept here: 1, 1.0 and True are one key of a dictionary, but three values.
    """

    def __init__(self, known: _Known, field: bytes) -> None:
        self._known = known
        self._field = field
        self._keys: dict[str, _Key] = {}

    def __missing__(self, item: tuple[str, Any]) -> bytes:
        name, value = item
        key = self._keys.get(name) or self._learn(name)
        kind = type(value)
        if kind is int:
            pair = key.integers.get(value)
            if pair is not None:
                return pair
        pair = key.encode(value)
        if key.room and (kind is str or kind is int):
            key.room -= 1
            if kind is str:
                self._known.keep(self, item, pair)
            else:
                self._known.keep(key.integers, value, pair)
        return pair

    def one(self, item: tuple[str, Any]) -> bytes:
        """Return what is kept of an attribute, or else encode it, also where its value is no key of a dictionary."""
        try:
            return self[item]
        except TypeError:
            return (self._keys.get(item[0]) or self._learn(item[0])).encode(item[1])

    def _learn(self, name: str) -> _Key:
        if not isinstance(name, str) or scrub_text(name) != name:
            raise _OddKeyError
        key = _Key(self._field, name)
        if len(self._keys) < _MOST_TEXTS and len(name) <= _LONGEST_KEPT:
            self._keys[name] = key
        else:
            key.room = 0
        return key


class _Fields(dict[bytes, _Pairs]):
    """The attributes of each field."""

    def __init__(self, known: _Known) -> None:
        self._known = known

    def __missing__(self, field: bytes) -> _Pairs:
        pairs = self[field] = _Pairs(self._known, field)
        return pairs


class _Known:
    """What has been encoded, with as many secrets known as then. A thread that still uses an old one spoils nothing."""

    def __init__(self) -> None:
        self.room = _MOST_KEPT
        self.fields = _Fields(self)
        self.texts = _Texts(self)
        self.scopes: dict[InstrumentationScope, bytes] = {}
        self.resources: dict[int, tuple[Resource, bytes]] = {}
        self.others: dict[Hashable, bytes] = {}

    def keep(self, where: dict[Any, bytes], what: Any, encoded: bytes) -> None:
        if len(encoded) > _LONGEST_KEPT:
            return
        where[what] = encoded
        self.room -= 2 * len(encoded) + _OVERHEAD
        if self.room < 0:
            _forget()


def _forget() -> None:
    global _known  # noqa: PLW0603 - one process, one memory
    _known = _Known()


_known = _Known()
privacy.when_secret(_forget)


def kept(key: K, encode: Callable[[K], bytes]) -> bytes:
    """Return what `encode(key)` returns, scrubbed, or what it returned before."""
    known = _known  # also when another secret becomes known meanwhile
    encoded = known.others.get(key)
    if encoded is None:
        encoded = encode(key)
        if len(known.others) < _MOST_TEXTS:
            known.keep(known.others, key, encoded)
    return encoded


def encode_text(text: str) -> bytes:
    """Return `text` scrubbed, cut and as UTF-8, with lone surrogates replaced."""
    return cut(scrub_anew(text)).encode(errors="replace")  # what repeats is kept here


def encode_name(text: str) -> bytes:
    """Return a text that repeats, encoded, with its length."""
    return _known.texts[text]


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
    pairs = _known.fields[field]
    try:
        try:
            return b"".join(map(pairs.__getitem__, attributes.items()))
        except TypeError:  # a list among the values, which is no key of a dictionary
            return b"".join(map(pairs.one, attributes.items()))
    except _OddKeyError:
        return _odd_pairs(field, attributes)


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
    known = _known.scopes
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
    known = _known.resources
    found = known.get(id(resource))
    if found is None or found[0] is not resource:
        found = resource, encode_attributes(_RESOURCE_ATTRIBUTES, resource.attributes)
        if len(known) < _MOST_RESOURCES:
            known[id(resource)] = found
    return found[1]
