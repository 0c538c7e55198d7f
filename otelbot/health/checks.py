"""What a check is, and the bot's own ones."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[[], Any]")

Status = Literal["healthy", "degraded", "unhealthy"]

HEALTHY: Status = "healthy"
DEGRADED: Status = "degraded"
UNHEALTHY: Status = "unhealthy"
#: From best to worst, with what `otelbot.health.status` says.
VALUES: dict[Status, float] = {HEALTHY: 1.0, DEGRADED: 0.5, UNHEALTHY: 0.0}


class Degraded(Exception):  # noqa: N818 - it is no error: it works, but
    """Raised by a check of something that works, but not as it should."""


class Failed(Exception):  # noqa: N818 - it is how a check ends
    """Raised by a check whose text says enough by itself: it is shown without its type."""


@dataclass(frozen=True)
class Check:
    """One thing that may be ill. `run` returns where it is well, and raises where it is not.

    A plain function runs in a thread, a coroutine function on an event loop of the bot's.
    """

    name: str
    run: Callable[[], Any]
    timeout: float = 5.0  # seconds
    critical: bool = True
    at_most_every: float = 0.0  # seconds
    #: Where a coroutine function runs; None is the loop that the bot works on.
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.run) or inspect.iscoroutinefunction(type(self.run).__call__)


_registered: dict[str, Check] = {}


def register(check: Check) -> None:
    """Have `check` run with the others. Of two with one name the later counts, also instead of a built-in one."""
    _registered[check.name] = check


def own(name: str) -> Check | None:
    """Return the bot's own check of a name, where it has one."""
    return _registered.get(name)


def registered() -> list[Check]:
    return list(_registered.values())


@overload
def health_check(name: F) -> F: ...
@overload
def health_check(name: str | None = None, *, timeout: float = 5.0, critical: bool = True) -> Callable[[F], F]: ...
def health_check(name: Any = None, *, timeout: float = 5.0, critical: bool = True) -> Any:
    """Make a function without parameters, sync or async, a check of health; it stays as it is.

    It is well when it returns. What it raises is shown, scrubbed; `otelbot.health.checks.Degraded` says that it works,
    but not as it should.

    :param name: the function's own where none is given.
    :param timeout: seconds after which it counts as failed.
    :param critical: whether the bot is unhealthy without it, and not only degraded.
    """
    if callable(name):
        register(Check(name.__name__, name))
        return name

    def decorate(function: F) -> F:
        register(Check(name or function.__name__, function, timeout, critical))
        return function

    return decorate
