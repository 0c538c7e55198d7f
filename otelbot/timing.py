"""For a bot's own code: `timed` measures and traces a function or a block; the span of the update at hand."""

from __future__ import annotations

import inspect
import time
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar, overload

from opentelemetry import context, metrics, trace
from opentelemetry.trace import INVALID_SPAN, Span, StatusCode, Tracer

from otelbot import __version__, settings, signals
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises
from otelbot.privacy import error_type, exception_attributes
from otelbot.signals import Cap

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context

F = TypeVar("F", bound="Callable[..., Any]")


class _Instruments:
    def __init__(self) -> None:
        self.duration = create(metrics.get_meter(signals.SCOPE, __version__), signals.FUNCTION_DURATION)
        limit = settings.current().cardinality_limit
        self.cap_function, self.cap_error = Cap(signals.FUNCTION, limit), Cap(signals.ERROR_TYPE, limit)


@cache
def _instruments() -> _Instruments:
    return _Instruments()


@cache
def _tracer() -> Tracer:
    return trace.get_tracer(signals.SCOPE, __version__)


class Timed:
    """What `timed(name)` gives: a context manager, for use once at a time, and a decorator."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._span: Span = INVALID_SPAN
        self._token: Token[Context] | None = None
        self._started = 0.0

    def __enter__(self) -> Span:
        """Return the span, for attributes of one's own."""
        self._span = _tracer().start_span(self._name)
        self._token = context.attach(trace.set_span_in_context(self._span))
        self._started = time.perf_counter()
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._started
        _note(self._name, elapsed, error if isinstance(error, Exception) else None, self._span)
        if self._token is not None:
            context.detach(self._token)
        self._span.end()

    def __call__(self, function: F) -> F:
        """Return `function`, sync or async, with each call of it timed.

        :raises TypeError: for a generator.
        """
        name = self._name
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{name} is a generator, which runs in pieces: use `with otelbot.timed(…):` inside of it")
        wrapped: Any
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                with Timed(name):
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with Timed(name):
                    return function(*args, **kwargs)

        return wrapped  # type: ignore[no-any-return]


@never_raises
def _note(name: str, seconds: float, error: Exception | None, span: Span) -> None:
    instruments = _instruments()
    kind = None
    if error is not None:
        kind = error_type(error)
        span.set_attribute(signals.ERROR_TYPE, kind)
        span.set_status(StatusCode.ERROR, kind)
        span.add_event(signals.EXCEPTION_EVENT, exception_attributes(error))
        kind = instruments.cap_error(kind)
    instruments.duration.record(seconds, (instruments.cap_function(name), kind), span)


@overload
def timed(what: F) -> F: ...


@overload
def timed(what: str) -> Timed: ...


def timed(what: Any) -> Any:
    """Time and trace a function, or a block under a name.

    Each call is a span, with what is raised, and a value of `telegram.bot.function.duration` (seconds).

    >>> @timed
    ... async def find_courier(city): ...
    >>> with timed("render menu") as span:
    ...     span.set_attribute("menu.items", 12)

    :param what: the function to decorate, or a name of few different ones: it goes onto a metric.
    """
    if isinstance(what, str):
        return Timed(what)
    name = getattr(what, "__qualname__", None) or type(what).__qualname__
    return Timed(name.rpartition("<locals>.")[2])(what)


def current_update_span() -> Span:
    """Return the span of the update that is being handled, for attributes of one's own.

    Outside of any update, and after its end, it is OpenTelemetry's invalid span, on which everything may be called and
    nothing happens.

    >>> current_update_span().set_attribute("shop.basket.size", 3)
    """
    span = context.get_value(signals.UPDATE_CONTEXT_KEY)
    return span if isinstance(span, Span) and span.is_recording() else INVALID_SPAN
