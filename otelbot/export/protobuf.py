"""Protobuf's wire format, as far as OTLP needs it: what a message is made of, and how an answer is read.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_BYTES = tuple(bytes((number,)) for number in range(256))

#: Packers of the values of fixed size, little-endian.
double: Callable[[float], bytes] = Struct("<d").pack
fixed64: Callable[[int], bytes] = Struct("<Q").pack
sfixed64: Callable[[int], bytes] = Struct("<q").pack
fixed32: Callable[[int], bytes] = Struct("<I").pack


def tag(number: int, wire_type: int) -> bytes:
    """Return what stands before a value of the field `number`."""
    return varint(number << 3 | wire_type)


def varint(number: int) -> bytes:
    """Return a number of at most 64 bits; negative ones in two's complement take ten bytes."""
    if 0 <= number < 0x80:
        return _BYTES[number]
    if 0 <= number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    number &= 0xFFFF_FFFF_FFFF_FFFF
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


class _Lengths(dict[int, bytes]):
    """Lengths as `varint` gives them; the usual ones are kept."""

    def __missing__(self, length: int) -> bytes:
        encoded = varint(length)
        if length < 0x4000:
            self[length] = encoded
        return encoded


lengths = _Lengths()


def zigzag(number: int) -> bytes:
    """Return a signed number (`sint32`) so that small negative ones are short."""
    return varint(number << 1 ^ number >> 31)


def sized(data: bytes) -> bytes:
    """Return a message, text or packed list with its length before it."""
    return lengths[len(data)] + data


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field; a text or message as its bytes.

    :raises ValueError: where the bytes are no message.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        wire_type = key & 7
        if wire_type == VARINT:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == LENGTH:
            length, position = _read_varint(message, position)
        elif wire_type in {FIXED64, FIXED32}:
            length = 8 if wire_type == FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if position + length > len(message):
            raise ValueError("cut off")
        yield key >> 3, message[position : position + length]
        position += length


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("cut off")
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, position
    raise ValueError("a number of more than 64 bits")
