"""Replaces methods of classes so that they can be put back, and keeps telemetry's own failures from the bot."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("otelbot")
_reported: set[str] = set()


def _as_coroutine_function(original: Any, replacement: Any) -> Any:
    """Return `replacement`, told to be a coroutine function where `original` is one: mocks of it ask for that."""
    if inspect.iscoroutinefunction(original) and not inspect.iscoroutinefunction(replacement):
        if sys.version_info >= (3, 12):
            return inspect.markcoroutinefunction(replacement)
        replacement._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
    return replacement


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
        replacement = _as_coroutine_function(original, wraps(original)(replace(original)))
        setattr(owner, name, replacement)

        def undo() -> None:
            if vars(owner).get(name) is not replacement:
                return  # somebody patched on top: leave theirs
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

        self._undo.append(undo)

    def when_imported(self, module: str, patch: Callable[[], object]) -> None:
        """Run `patch` once `module` is imported, at once if it is, and not any more after `undo`.

        A module that only some bots need is so not imported for the others. Late, a fault is reported and not raised.
        """
        if module in sys.modules:
            patch()
            return
        undone = False

        def undo() -> None:
            nonlocal undone
            undone = True

        self._undo.append(undo)
        when_imported(module, lambda: None if undone else never_raises(patch)())

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def when_imported(module: str, action: Callable[[], object]) -> None:
    """Run `action` once `module` is imported, at once if it is. What it raises would reach who imports the module."""
    if module in sys.modules:
        action()
        return
    import wrapt

    wrapt.register_post_import_hook(lambda _module: action(), module)


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
