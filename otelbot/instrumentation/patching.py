"""Replaces methods of classes so that they can be put back, and keeps telemetry's own failures from the bot."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("otelbot")
_reported: set[str] = set()


class Patches:
    """The methods that are replaced, in order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def method(self, owner: type, name: str, replace: Callable[[Any], Callable[..., Any]]) -> None:
        """Set `owner.name` to `replace(original)`. An inherited method is overridden, and restored by removal.

        Raises AttributeError where this version of the library has no such method.
        """
        original = getattr(owner, name)
        inherited = name not in vars(owner)
        replacement = wraps(original)(replace(original))
        setattr(owner, name, replacement)

        def undo() -> None:
            if vars(owner).get(name) is not replacement:
                return  # somebody patched on top: leave theirs
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

        self._undo.append(undo)

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def never_raises(function: Callable[P, R]) -> Callable[P, R | None]:
    """Return None where `function` raises, and say so once: a fault of telemetry must not reach the bot."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception:
            name = function.__qualname__
            if name not in _reported:
                _reported.add(name)
                _log.warning("otelbot: a fault of its own in %s; the bot is not affected", name, exc_info=True)
            return None

    return guarded
