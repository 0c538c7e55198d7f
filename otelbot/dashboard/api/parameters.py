"""What a request asks for, checked: whatever is wrong with it is one sentence and the status 400."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

_LONGEST = 1000  # characters of a text
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")


class Refused(Exception):  # noqa: N818 - it is how a request ends
    """Raised with the sentence that a client is told, and the status of the answer."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def one_of(request: web.Request, name: str, allowed: Mapping[str, Any]) -> str | None:
    value = text(request, name)
    if value is not None and value not in allowed:
        raise Refused(f"{name} is none of {', '.join(allowed)}.")
    return value


def text(request: web.Request, name: str) -> str | None:
    """Return a parameter; None where it is missing or empty."""
    value = request.query.get(name, "")
    if len(value) > _LONGEST:
        raise Refused(f"{name} is longer than {_LONGEST} characters.")
    if "\0" in value:
        raise Refused(f"{name} holds a NUL character.")
    return value or None


def number(request: web.Request, name: str, least: float = 0, most: float = 1e15) -> float | None:
    value = text(request, name)
    if value is None:
        return None
    try:
        parsed = float(value)
    except ValueError:
        raise Refused(f"{name} is not a number.") from None
    if not least <= parsed <= most:
        raise Refused(f"{name} is not a number from {least:.16g} to {most:.16g}.")
    return parsed


def whole(request: web.Request, name: str, least: int = 0, most: int = 2**62) -> int | None:
    value = text(request, name)
    if value is None:
        return None
    # int() also takes "1_000", spaces and thousands of digits
    if not re.fullmatch(r"[0-9]{1,19}", value) or not least <= int(value) <= most:
        raise Refused(f"{name} is not a whole number from {least} to {most}.")
    return int(value)


def nanoseconds(request: web.Request, name: str) -> int | None:
    """Return a time that is given in milliseconds since the epoch, as nanoseconds."""
    value = number(request, name, 0, 9e12)
    return None if value is None else int(value * 1_000_000)


def flag(request: web.Request, name: str) -> bool:
    return one_of(request, name, {"1": True, "true": True, "0": False, "false": False}) in {"1", "true"}


def seconds(value: str | None, name: str) -> float | None:
    """Return Prometheus' form of a time or duration, `1700000000.5` or `1m30s`, in seconds."""
    if not value:
        return None
    try:
        parsed = float(value)
    except ValueError:
        parts = _DURATION.findall(value)
        if not parts or "".join(count + unit for count, unit in parts) != value:
            raise Refused(f"{name} is neither a number of seconds nor a duration such as 15s or 5m.") from None
        parsed = sum(float(count) * _UNITS[unit] for count, unit in parts)
    if not math.isfinite(parsed):
        raise Refused(f"{name} is not finite.")
    return parsed


async def body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object that a request brings."""
    try:
        value = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise Refused("The body is not a JSON object.")
    return value
