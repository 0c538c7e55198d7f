"""Puts OpenTelemetry's client instrumentations (asyncpg, redis, aiohttp) under otelbot's rules.

They are given a tracer provider whose spans carry no error text, drop what is noise, and name operations with few
values. The instrumentations themselves stay as they are.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as context_api
from opentelemetry import metrics, trace
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from otelbot import __version__, settings, signals
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises
from otelbot.privacy import error_type, exception_message
from otelbot.signals import Cap, Component

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes, AttributeValue

#: Qualified names under which a cancelled task shows itself; it is not an error of the server that was asked.
_CANCELLED = "CancelledError"
_DATABASES = ("database", "redis")
#: What of a span its duration is recorded with.
_MEASURED = signals.DB_DURATION.attributes


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
def _describe(rules: Rules, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    return rules.describe(name, attributes)


@never_raises
def _error_attributes(rules: Rules, error: BaseException) -> Mapping[str, Any]:
    return rules.error_attributes(error)


class ClientSpan(Span):
    """A span that takes errors by type, without their texts."""

    def __init__(self, span: Span, tracer: ClientTracer, attributes: Mapping[str, Any]) -> None:
        self._span = span
        self._tracer = tracer
        self._measured = {key: attributes[key] for key in _MEASURED if key in attributes}
        self._started = time.perf_counter()

    @property
    def name(self) -> str:
        return str(getattr(self._span, "name", ""))

    def end(self, end_time: int | None = None) -> None:
        self._tracer.measure(time.perf_counter() - self._started, self._measured, self._span)
        self._span.end(end_time)

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context()

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if key == signals.ERROR_TYPE and value == _CANCELLED:
            return
        if key == "db.query.text":
            value = self._tracer.rules.query_text(str(value))
        if key in _MEASURED:
            self._measured[key] = value
        self._span.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self._span.add_event(name, attributes, timestamp)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)

    def is_recording(self) -> bool:
        # A database's duration has attributes of the span's, which the instrumentation tells recording spans only.
        return self._tracer.measures or self._span.is_recording()

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        text = status.description if isinstance(status, Status) else description
        if text != _CANCELLED:
            self._span.set_status(code)

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
        if self._span.is_recording():
            self._span.set_status(StatusCode.ERROR, exception_message(error))


class ClientTracer(Tracer):
    def __init__(self, tracer: Tracer, rules: Rules) -> None:
        self._tracer = tracer
        self.rules = rules
        meter = metrics.get_meter(signals.SCOPE, __version__)
        self._errors = create(meter, signals.ERRORS)
        self._duration = create(meter, signals.DB_DURATION) if rules.component in _DATABASES else None
        self.measures = self._duration is not None
        limit = settings.current().cardinality_limit
        self._caps = {key: Cap(key, limit) for key in _MEASURED}

    def count_error(self, error: BaseException) -> None:
        kind = self._caps[signals.ERROR_TYPE](error_type(error))
        self._errors.add(1, {signals.ERROR_TYPE: kind, signals.COMPONENT: self.rules.component})

    @never_raises
    def measure(self, seconds: float, attributes: Mapping[str, Any], span: Span) -> None:
        """Record the duration of an operation on a database; that of a request is the instrumentation's own."""
        if self._duration is None:
            return
        bounded = {
            key: self._caps[key](value) if isinstance(value, str) else value for key, value in attributes.items()
        }
        self._duration.record(seconds, bounded, trace.set_span_in_context(span))

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
        described = _describe(self.rules, name, attributes or {})
        if described is None:
            return INVALID_SPAN
        name, kept = described
        return ClientSpan(self._tracer.start_span(name, context, kind, kept, links, start_time), self, kept)

    @contextmanager
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
    ) -> Iterator[Span]:
        span = self.start_span(name, context, kind, attributes, links, start_time)
        if not isinstance(span, ClientSpan):
            yield span
            return
        token = context_api.attach(trace.set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            context_api.detach(token)
            if end_on_exit:
                span.end()


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
