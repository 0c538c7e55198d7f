"""Puts OpenTelemetry's client instrumentations (asyncpg, redis, aiohttp) under otelbot's rules.

They are given a tracer provider whose spans carry no error text, drop what is noise, and name operations with few
values. The instrumentations themselves stay as they are.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from opentelemetry import context as context_api
from opentelemetry import metrics, trace
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from otelbot import __version__, settings, signals
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises
from otelbot.privacy import error_type, exception_message
from otelbot.signals import Cap, Component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes, AttributeValue

#: Qualified names under which a cancelled task shows itself; it is not an error of the server that was asked.
_CANCELLED = "CancelledError"
_DATABASES = ("database", "redis")
#: What of a span its duration is recorded with → its place among those values.
_MEASURED = {key: place for place, key in enumerate(signals.DB_DURATION.attributes)}
_MOST_DESCRIBED = 256  # operations of a library that are kept
_LONGEST_DESCRIBED = 4096  # characters of one of those


class Rules(Protocol):
    """What is particular to one library."""

    component: Component
    expected: frozenset[str]  # types of errors that the library itself has an answer to

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return the span's name and attributes, or None where there should be no span."""

    def query_text(self, text: str) -> str:
        """Return `db.query.text` without values."""

    def error_attributes(self, error: BaseException) -> Mapping[str, Any]:
        """Return what the error says in a standard way, such as SQLSTATE."""


@never_raises
def _describe(rules: Rules, name: str, attributes: Mapping[str, Any]) -> _Described | None:
    described = rules.describe(name, attributes)
    if described is None:
        return None
    name, kept = described
    return _Described(name, kept, [kept.get(key) for key in _MEASURED])


@never_raises
def _error_attributes(rules: Rules, error: BaseException) -> Mapping[str, Any]:
    return rules.error_attributes(error)


class ClientSpan(Span):
    """A span that takes errors by type, without their texts."""

    def __init__(self, span: Span, tracer: ClientTracer, measured: list[Any]) -> None:
        self.inner = span
        self._tracer = tracer
        self._recording = span.is_recording()
        self._measured = measured
        self._started = time.perf_counter()

    @property
    def name(self) -> str:
        return str(getattr(self.inner, "name", ""))

    def end(self, end_time: int | None = None) -> None:
        self._tracer.measure(time.perf_counter() - self._started, self._measured, self.inner)
        self.inner.end(end_time)

    def get_span_context(self) -> SpanContext:
        return self.inner.get_span_context()

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        index = _MEASURED.get(key)
        if index is not None:
            if key == signals.ERROR_TYPE and value == _CANCELLED:
                return
            self._measured[index] = value
        if self._recording:
            if key == signals.DB_TEXT:
                value = self._tracer.query_text(str(value))
            self.inner.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self.inner.add_event(name, attributes, timestamp)

    def update_name(self, name: str) -> None:
        self.inner.update_name(name)

    def is_recording(self) -> bool:
        # A database's duration has attributes of the span's, which the instrumentation tells recording spans only.
        return self._tracer.measures or self._recording

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        text = status.description if isinstance(status, Status) else description
        if text != _CANCELLED:
            self.inner.set_status(code)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self.fail(exception)

    def fail(self, error: BaseException) -> None:
        """Mark the span as failed and count the error; a cancelled task is none."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
            return
        if error_type(error) in self._tracer.rules.expected:
            return
        self._tracer.count_error(error)
        self.set_attribute(signals.ERROR_TYPE, error_type(error))
        self.set_attributes(_error_attributes(self._tracer.rules, error) or {})
        if self._recording:
            self.inner.set_status(StatusCode.ERROR, exception_message(error))


class _Current(AbstractContextManager[Span]):
    """Makes a span the current one for a block; a class, because a generator for each statement costs more."""

    def __init__(self, span: Span, end_on_exit: bool) -> None:
        self._span = span
        self._end_on_exit = end_on_exit
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        span = self._span
        if isinstance(span, ClientSpan):
            self._token = context_api.attach(trace.set_span_in_context(span))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span = self._span
        if not isinstance(span, ClientSpan):
            return
        if error is not None:
            span.fail(error)
        if self._token is not None:
            context_api.detach(self._token)
        if self._end_on_exit:
            span.end()


class _Described(NamedTuple):
    name: str
    attributes: dict[str, Any]
    measured: list[Any]  # in the order of what the duration is recorded with


class ClientTracer(Tracer):
    def __init__(self, tracer: Tracer, rules: Rules) -> None:
        self._tracer = tracer
        self.rules = rules
        self.query_text = lru_cache(_MOST_DESCRIBED)(rules.query_text)
        meter = metrics.get_meter(signals.SCOPE, __version__)
        self._errors = create(meter, signals.ERRORS)
        self._duration = create(meter, signals.DB_DURATION) if rules.component in _DATABASES else None
        self.measures = self._duration is not None
        limit = settings.current().cardinality_limit
        self._cap_error = Cap(signals.ERROR_TYPE, limit)
        self._caps = [Cap(key, limit) for key in _MEASURED]
        self._bounded: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._described: dict[Any, _Described | None] = {}

    def count_error(self, error: BaseException) -> None:
        self._errors.add(1, (self._cap_error(error_type(error)), self.rules.component))

    @never_raises
    def measure(self, seconds: float, measured: list[Any], span: Span) -> None:
        """Record the duration of an operation on a database; that of a request is the instrumentation's own."""
        if self._duration is None:
            return
        values = tuple(measured)
        bounded = self._bounded.get(values)
        if bounded is None:
            if len(self._bounded) >= _MOST_DESCRIBED:
                self._bounded.clear()
            caps = zip(self._caps, values, strict=True)
            bounded = tuple(cap(value) if isinstance(value, str) else value for cap, value in caps)
            self._bounded[values] = bounded
        self._duration.record(seconds, bounded, span)

    def _describe(self, name: str, attributes: Mapping[str, Any]) -> _Described | None:
        """Return what the rules make of a span; for a database's most frequent operations it is kept."""
        if not self.measures:
            return _describe(self.rules, name, attributes)
        key = (name, *attributes.items())
        try:
            return self._described[key]
        except KeyError:
            pass
        except TypeError:  # a list among them
            return _describe(self.rules, name, attributes)
        described = _describe(self.rules, name, attributes)
        if len(self._described) >= _MOST_DESCRIBED:
            self._described.clear()
        if sum(len(value) for value in attributes.values() if isinstance(value, str)) <= _LONGEST_DESCRIBED:
            self._described[key] = described
        return described

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        described = self._describe(name, attributes or {})
        if described is None:
            return INVALID_SPAN
        span = self._tracer.start_span(described.name, context, kind, described.attributes, links, start_time)
        return ClientSpan(span, self, described.measured.copy())

    def start_as_current_span(  # type: ignore[override]  # the contrib instrumentations use it as a context manager only
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> AbstractContextManager[Span]:
        return _Current(self.start_span(name, context, kind, attributes, links, start_time), end_on_exit)


class ClientTracerProvider(trace.TracerProvider):
    """The global provider, under the rules of one library."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        tracer = trace.get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url=schema_url, attributes=attributes
        )
        return ClientTracer(tracer, self._rules)
