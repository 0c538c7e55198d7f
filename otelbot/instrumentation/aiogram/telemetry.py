"""The tracer and the instruments that the aiogram instrumentation shares."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from opentelemetry import metrics, trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context, set_value
from opentelemetry.trace import Span, TracerProvider, set_span_in_context

from otelbot import __version__, settings, signals
from otelbot.privacy import error_type
from otelbot.signals import Cap, Component, Instrument

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider


class Unfinished(Protocol):
    """An update, a handler's run or an attempt, while it is going on."""

    def cut_off(self) -> None: ...


class Telemetry:
    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        self.settings = settings.current()
        self.tracer = trace.get_tracer(signals.SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(signals.SCOPE, __version__, meter_provider)
        self.update_duration = _histogram(meter, signals.UPDATE_DURATION)
        self.update_active = meter.create_up_down_counter(
            signals.UPDATE_ACTIVE.name, signals.UPDATE_ACTIVE.unit, signals.UPDATE_ACTIVE.description
        )
        self.handler_duration = _histogram(meter, signals.HANDLER_DURATION)
        self.commands = _counter(meter, signals.COMMANDS)
        self.errors = _counter(meter, signals.ERRORS)
        self.api_duration = _histogram(meter, signals.API_DURATION)
        self.api_retry_after = _counter(meter, signals.API_RETRY_AFTER)
        limit = self.settings.cardinality_limit
        self.cap_handler = Cap(signals.HANDLER, limit)
        self.cap_command = Cap(signals.COMMAND, limit)
        self.cap_method = Cap(signals.METHOD, limit)
        self.cap_error = Cap(signals.ERROR_TYPE, limit)

        self._unfinished: dict[Unfinished, None] = {}  # in the order of their beginning
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unfinished.clear)  # they go on in the parent

    def began(self, what: Unfinished) -> None:
        self._unfinished[what] = None

    def ended(self, what: Unfinished) -> bool:
        """Note the end of `what`; returns False where it had ended before."""
        return self._unfinished.pop(what, self) is None

    def cut_off_unfinished(self) -> None:
        """End what the end of the process cuts off, as cancelled, the innermost first: its trace is whole then."""
        for what in reversed(list(self._unfinished)):
            what.cut_off()

    def count_error(self, error: BaseException, component: Component) -> None:
        kind = self.cap_error(error_type(error))
        self.errors.add(1, {signals.ERROR_TYPE: kind, signals.COMPONENT: component})


def _histogram(meter: Meter, instrument: Instrument) -> metrics.Histogram:
    return meter.create_histogram(
        instrument.name,
        instrument.unit,
        instrument.description,
        explicit_bucket_boundaries_advisory=instrument.buckets,
    )


def _counter(meter: Meter, instrument: Instrument) -> metrics.Counter:
    return meter.create_counter(instrument.name, instrument.unit, instrument.description)


def without_http_span(span: Span | None) -> Context:
    """Return the current context with `span` in it and the HTTP client's instrumentation off.

    The call to Telegram is one span, not two, and no traceparent leaves for it.
    """
    context = set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True)
    return context if span is None else set_span_in_context(span, context)
