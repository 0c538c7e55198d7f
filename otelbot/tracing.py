"""Spans that cost a few microseconds: the SDK's, without what an update does not need.

A `LeanSpan` is a `Span` of the SDK, so whatever reads or processes spans takes it. It keeps its attributes in a plain
dictionary, makes lists of events and links when there are some, and is handed to the processors itself, not as a copy.
Where a setting asks for more (limits of one's own, the SDK's metrics about itself), the SDK makes the spans.
"""

from __future__ import annotations

import logging
from threading import Lock
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context, get_current
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.util.types import AnyValue, Attributes

_log = logging.getLogger("opentelemetry.sdk.trace")  # what these spans warn of, the SDK's warn of

#: Types of values that are kept as they are: neither to be copied, as lists are, nor to be made text of.
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_FLAGS = tuple(TraceFlags(flags) for flags in range(4))
_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
_DROP, _RECORD = sampling.Decision.DROP, sampling.Decision.RECORD_AND_SAMPLE
#: The SDK's own limit, where nobody set one.
_MOST_ATTRIBUTES = 128


class LeanSpan(sdk.Span):
    """Made by `LeanTracer` only, which sets what is per span; the rest is the same for all, or asked of the tracer."""

    _tracer: LeanTracer
    _attributes: dict[str, AnyValue]
    _events: Sequence[Any] = ()
    _links: Sequence[Link] = ()
    _status = Status(StatusCode.UNSET)
    _dropped = 0
    _end_time: int | None = None
    _trace_config = None
    _record_end_metrics = None
    _record_exception = _set_status_on_exception = True

    # What the SDK's methods and its `ReadableSpan` read of a span.
    _resource = property(lambda self: self._tracer.resource)
    _sampler = property(lambda self: self._tracer.sampler)
    _limits = property(lambda self: self._tracer._span_limits)
    _span_processor = property(lambda self: self._tracer.span_processor)
    _instrumentation_info = property(lambda self: self._tracer.instrumentation_info)
    _instrumentation_scope = property(lambda self: self._tracer._instrumentation_scope)

    @property
    def dropped_attributes(self) -> int:
        return self._dropped

    def set_attribute(self, key: str, value: AnyValue) -> None:
        if self._end_time is not None:
            _log.warning("Setting attribute on ended span.")
            return
        attributes = self._attributes
        if type(value) in _PLAIN and type(key) is str and key and len(attributes) < _MOST_ATTRIBUTES:
            attributes[key] = value
        else:
            self._keep({key: value})

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def _keep(self, attributes: Mapping[Any, Any]) -> None:
        """Add attributes as the SDK does: with values that can be encoded, the oldest giving way at the limit."""
        bounded = BoundedAttributes(_MOST_ATTRIBUTES, self._attributes, immutable=False)
        bounded._set_items(attributes)
        self._attributes = dict(bounded)
        self._dropped += bounded.dropped

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if not self._events:
            self._events = BoundedList(self._limits.max_events)
        super().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if not self._links:
            self._links = BoundedList(self._limits.max_links)
        if not attributes and context.is_valid and self._end_time is None:
            self._links.append(Link(context))  # type: ignore[attr-defined]
        else:
            super().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        if self._end_time is None:
            self._name = name
        else:
            super().update_name(name)  # which warns

    def end(self, end_time: int | None = None) -> None:
        with self._lock:
            if self._end_time is not None:
                _log.warning("Calling end() on an ended span.")
                return
            self._end_time = time_ns() if end_time is None else end_time
        tracer = self._tracer
        for processor in tracer.attentive_to_ending:
            processor._on_ending(self)
        for processor in tracer.processors():
            processor.on_end(self)


class LeanTracer(sdk.Tracer):
    """Makes `LeanSpan`s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known_processors: tuple[Any, ...] | None = None
        self.attentive_to_start: tuple[Any, ...] = ()
        self.attentive_to_ending: tuple[Any, ...] = ()
        self._lean = (
            isinstance(self.span_processor, sdk.SynchronousMultiSpanProcessor)
            and _are_default(self._span_limits)
            and isinstance(self._tracer_metrics, NoOpTracerMetrics)
        )
        self._follows_parent = _follows_parent(self.sampler)
        root = getattr(self.sampler, "_root", None) if self._follows_parent else self.sampler
        self._always = isinstance(root, sampling.StaticSampler) and root._decision is _RECORD

    def processors(self) -> tuple[Any, ...]:
        """Return the span processors; one may be added at any time."""
        processors: tuple[Any, ...] = self.span_processor._span_processors
        if processors is not self._known_processors:
            self._known_processors = processors
            self.attentive_to_start = tuple(
                each for each in processors if type(each).on_start is not sdk.SpanProcessor.on_start
            )
            self.attentive_to_ending = tuple(
                each for each in processors if type(each)._on_ending is not sdk.SpanProcessor._on_ending
            )
        return processors

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        around: Any = (get_current() if context is None else context).get(_SPAN_KEY)
        parent = around.get_span_context() if isinstance(around, trace.Span) else None
        if (
            not self._lean
            or not self._tracer_config.is_enabled
            or (parent is not None and type(parent) is not SpanContext)
        ):
            return super().start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )

        if parent is not None and parent.is_valid:
            trace_id, random = parent.trace_id, parent.trace_flags & _RANDOM
            decided = self._follows_parent
            sampled = parent.trace_flags & _SAMPLED
            if decided and not sampled and type(around) is NonRecordingSpan:
                return around  # whatever the child were called, nobody will see it
            state = parent.trace_state
        else:
            parent = state = None
            trace_id = self.id_generator.generate_trace_id()
            random = _RANDOM if self.id_generator.is_trace_id_random() else 0
            decided = sampled = self._always
        recording = sampled
        if not decided:
            result = self.sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
            recording, sampled = result.decision is not _DROP, result.decision is _RECORD
            attributes, state = result.attributes, result.trace_state

        flags = _FLAGS[(_SAMPLED if sampled else 0) | random]
        own = SpanContext(trace_id, self.id_generator.generate_span_id(), False, flags, state)
        if not recording:
            return NonRecordingSpan(own)

        span: LeanSpan = object.__new__(LeanSpan)
        span._tracer = self
        span._name, span._context, span._parent, span._kind = name, own, parent, kind
        span._lock = Lock()
        span._attributes = {}
        if attributes:
            if _PLAIN.issuperset(map(type, attributes.values())) and len(attributes) <= _MOST_ATTRIBUTES:
                span._attributes.update(attributes)
            else:
                span._keep(attributes)
        if links:
            span._links = span._new_links(links)
        if not (record_exception and set_status_on_exception):
            span._record_exception, span._set_status_on_exception = record_exception, set_status_on_exception
        span._start_time = time_ns() if start_time is None else start_time
        self.processors()
        for processor in self.attentive_to_start:
            processor.on_start(span, parent_context=context)
        return span


def _are_default(limits: sdk.SpanLimits) -> bool:
    """Whether the limits that a lean span keeps in its own way are those that nobody set."""
    return limits.max_span_attributes == _MOST_ATTRIBUTES and limits.max_span_attribute_length is None


def _follows_parent(sampler: sampling.Sampler) -> bool:
    """Whether a span with a parent is sampled if and only if its parent is, so that nobody need be asked."""
    return (
        isinstance(sampler, sampling.ParentBased)
        and type(sampler).should_sample is sampling.ParentBased.should_sample
        and sampler._remote_parent_sampled is sampler._local_parent_sampled is sampling.ALWAYS_ON
        and sampler._remote_parent_not_sampled is sampler._local_parent_not_sampled is sampling.ALWAYS_OFF
    )


class LeanTracerProvider(sdk.TracerProvider):
    """The SDK's provider, with `LeanTracer`s."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        made = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        if type(made) is not sdk.Tracer:
            return made
        lean = LeanTracer(
            made.sampler,
            made.resource,
            made.span_processor,
            made.id_generator,
            made.instrumentation_info,
            made._span_limits,
            made._instrumentation_scope,
            meter_provider=self._meter_provider,
            _tracer_config=made._tracer_config,
        )
        with self._tracers_lock:
            if self._tracers[made._instrumentation_scope] is made:
                self._tracers[made._instrumentation_scope] = lean
            return self._tracers[made._instrumentation_scope]


def context_with(span: trace.Span, context: Context | None = None, *keys: str) -> Context:
    """Return `context`, the current one by default, with `span` in it: as the current span, and under other `keys`."""
    copy = Context(get_current() if context is None else context)
    for key in (_SPAN_KEY, *keys):
        dict.__setitem__(copy, key, span)  # it is nobody else's yet
    return copy
