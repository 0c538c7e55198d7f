"""Spans that cost a few microseconds: the SDK's, without what an update does not need.

A `LeanSpan` is a `Span` of the SDK, so whatever reads or processes spans takes it. It keeps its attributes in a plain
dictionary, makes lists of events and links when there are some, and is handed to the processors itself, not as a copy.
Where a setting asks for more (limits of one's own, the SDK's metrics about itself), the SDK makes the spans.
"""

from __future__ import annotations

import copy
import logging
from threading import Lock
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token

    from opentelemetry.trace import TraceState
    from opentelemetry.util.types import AnyValue, Attributes

_log = logging.getLogger("opentelemetry.sdk.trace")  # what these spans warn of, the SDK's warn of

#: Types of values that are kept as they are: neither to be copied, as lists are, nor to be made text of.
_is_plain = (str, int, float, bool, bytes, type(None)).__contains__
_FLAGS = tuple(TraceFlags(flags) for flags in range(4))
_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
_DROP, _RECORD = sampling.Decision.DROP, sampling.Decision.RECORD_AND_SAMPLE
_TRACE_ID_LIMIT = sampling.TraceIdRatioBased.TRACE_ID_LIMIT
#: The SDK's own limit, where nobody set one.
_MOST_ATTRIBUTES = 128
_UNSET = Status(StatusCode.UNSET)

_make_tuple, _make_object, _set_item = tuple.__new__, object.__new__, dict.__setitem__

#: OpenTelemetry's current context, without the three calls that lead to it where it is a `ContextVar`, as it nearly
#: always is (`OTEL_PYTHON_CONTEXT` can name another). `detach` raises ValueError in a foreign `contextvars.Context`.
current: Callable[[], Context] = context_api.get_current
attach: Callable[[Context], Token[Context]] = context_api.attach
detach: Callable[[Token[Context]], None] = context_api.detach
if type(context_api._RUNTIME_CONTEXT) is ContextVarsRuntimeContext:
    _variable = context_api._RUNTIME_CONTEXT._current_context
    current, attach, detach = _variable.get, _variable.set, _variable.reset


class LeanSpan(sdk.Span):
    """Made by `LeanTracer` only, which sets what is per span; the rest is the same for all, or asked of the tracer."""

    _tracer: LeanTracer
    _attributes: dict[str, AnyValue]
    _events: Sequence[Any] = ()
    _links: Sequence[Link] = ()
    _status = _UNSET
    _dropped = 0
    _more = False  # than name, ids, times and attributes
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
    _lock = property(lambda self: self.__dict__.setdefault("_own_lock", Lock()))

    @property
    def attributes(self) -> Mapping[str, AnyValue]:
        """What there is now; who goes through it may set more meanwhile."""
        return MappingProxyType(self._attributes.copy())

    @property
    def dropped_attributes(self) -> int:
        return self._dropped

    def set_attribute(self, key: str, value: AnyValue) -> None:
        if self._end_time is not None:
            _log.warning("Setting attribute on ended span.")
            return
        attributes = self._attributes
        if _is_plain(type(value)) and type(key) is str and key and len(attributes) < _MOST_ATTRIBUTES:
            attributes[key] = value
        else:
            cleaned = BoundedAttributes(immutable=False)
            cleaned[key] = value
            self._keep(cleaned)

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if self._end_time is not None:
            _log.warning("Setting attribute on ended span.")
        elif (
            all(map(_is_plain, map(type, attributes.values())))
            and "" not in attributes
            and len(self._attributes) + len(attributes) <= _MOST_ATTRIBUTES
        ):
            self._attributes.update(attributes)
        else:
            self._keep(BoundedAttributes(attributes=attributes))

    def _keep(self, cleaned: BoundedAttributes) -> None:
        """Add what the SDK made of attributes. At the limit the oldest gives way, as there."""
        with self._lock:
            self._more = True
            self._dropped += cleaned.dropped
            for key, value in cleaned._dict.items():
                if len(self._attributes) >= _MOST_ATTRIBUTES and key not in self._attributes:
                    self._attributes.pop(list(self._attributes)[0])  # noqa: RUF015 - another thread may add one
                    self._dropped += 1
                self._attributes[key] = value

    def __deepcopy__(self, memo: dict[int, Any]) -> sdk.ReadableSpan:
        return copy.deepcopy(self._readable_span(), memo)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if not self._events:  # the same for two threads that come first
            self.__dict__.setdefault("_events", BoundedList(self._limits.max_events))
            self._more = True
        super().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        links = self._links
        if not (links or attributes) and self._end_time is None and context and context.is_valid:
            self._links, self._more = (Link(context),), True  # one is what most have: no list with a lock for it
            return
        if type(links) is tuple:
            self._links, self._more = BoundedList.from_seq(self._limits.max_links, links), True
        super().add_link(context, attributes)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._more = True
        super().set_status(status, description)

    def update_name(self, name: str) -> None:
        if self._end_time is None:
            self._name = name
        else:
            super().update_name(name)  # which warns

    def end(self, end_time: int | None = None) -> None:
        now = time_ns() if end_time is None else end_time
        # No call between this look and the next line: from Python 3.11 on no other thread comes in between.
        if self._end_time is not None:
            _log.warning("Calling end() on an ended span.")
            return
        self._end_time = now
        processors = self._tracer.span_processor
        for processor in processors.attentive_to_ending:
            processor._on_ending(self)
        for processor in processors._span_processors:
            processor.on_end(self)


class _Processors(sdk.SynchronousMultiSpanProcessor):
    """The SDK's list of span processors, which knows which of them care for more than a span's end."""

    attentive_to_start: tuple[sdk.SpanProcessor, ...] = ()
    attentive_to_ending: tuple[sdk.SpanProcessor, ...] = ()

    def add_span_processor(self, span_processor: sdk.SpanProcessor) -> None:
        super().add_span_processor(span_processor)
        all_of_them, none = self._span_processors, sdk.SpanProcessor
        self.attentive_to_start = tuple(each for each in all_of_them if not _is(each.on_start, none.on_start))
        self.attentive_to_ending = tuple(
            each for each in all_of_them if hasattr(each, "_on_ending") and not _is(each._on_ending, none._on_ending)
        )


def _is(method: Any, function: Any) -> bool:
    return getattr(method, "__func__", None) is function


class LeanTracer(sdk.Tracer):
    """Makes `LeanSpan`s."""

    span_processor: _Processors  # where `_lean`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lean = (
            type(self.span_processor) is _Processors
            and _are_default(self._span_limits)
            and isinstance(self._tracer_metrics, NoOpTracerMetrics)
        )
        self._follows_parent = self._lean and _follows_parent(self.sampler)
        self._bound = _bound(getattr(self.sampler, "_root", None) if self._follows_parent else self.sampler)
        self._random = _RANDOM if self.id_generator.is_trace_id_random() else 0

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
        around: Any = (current() if context is None else context).get(_SPAN_KEY)
        # A span context is a tuple: trace id, span id, whether it is remote, flags, trace state, whether it is valid.
        if (
            type(around) is LeanSpan
            and self._follows_parent
            and self._tracer_config.is_enabled
            and (parent := around._context)[3] & _SAMPLED  # type: ignore[index]  # a lean span always has one
        ):
            trace_id, _, _, flags, state, _ = parent  # type: ignore[misc]
        else:
            if type(around) is NonRecordingSpan and self._follows_parent and self._tracer_config.is_enabled:
                trace_id, _, _, flags, state, valid = around._context
                if valid and not (flags & _SAMPLED and self.span_processor._span_processors):
                    unseen = _make_object(NonRecordingSpan)
                    span_id, flags = self.id_generator.generate_span_id(), _FLAGS[flags & (_SAMPLED | _RANDOM)]
                    unseen._context = _make_tuple(SpanContext, (trace_id, span_id, False, flags, state, span_id > 0))
                    return unseen
            found = self._decide(around, name, context, kind, attributes, links)
            if found is None:
                return super().start_span(
                    name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
                )
            if isinstance(found, trace.Span):
                return found
            parent, trace_id, flags, state, attributes = found

        span: LeanSpan = _make_object(LeanSpan)
        span_id = self.id_generator.generate_span_id()
        span._context = _make_tuple(SpanContext, (trace_id, span_id, False, flags, state, span_id > 0 < trace_id))
        span._tracer, span._instrumentation_scope = self, self._instrumentation_scope
        span._name, span._parent, span._kind = name, parent, kind
        if not attributes:
            span._attributes = {}
        elif (
            all(map(_is_plain, map(type, attributes.values())))
            and "" not in attributes
            and len(attributes) <= _MOST_ATTRIBUTES
        ):
            span._attributes = {**attributes}
        else:
            span._attributes = {}
            span._keep(BoundedAttributes(attributes=attributes))
        if links:
            span._links, span._more = span._new_links(links), True
        if not (record_exception and set_status_on_exception):
            span._record_exception, span._set_status_on_exception = record_exception, set_status_on_exception
        span._start_time = time_ns() if start_time is None else start_time
        for processor in self.span_processor.attentive_to_start:
            processor.on_start(span, parent_context=context)
        return span

    def _decide(
        self,
        around: Any,
        name: str,
        context: Context | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] | None,
    ) -> tuple[SpanContext | None, int, TraceFlags, TraceState, Attributes] | trace.Span | None:
        """Return a recording span's parent, trace id, flags, trace state and attributes, or the span if it records not.

        None is for what only the SDK can do.
        """
        parent: Any = None
        if around is not None and isinstance(around, trace.Span):
            parent = around.get_span_context()
        if (
            not self._lean
            or not self._tracer_config.is_enabled
            or (parent is not None and type(parent) is not SpanContext)
        ):
            return None
        state: TraceState | None
        if parent is not None and parent.is_valid:
            trace_id, _, _, flags, state, _ = parent
            random = flags & _RANDOM
            decided = self._follows_parent
            sampled = flags & _SAMPLED
        else:
            parent = None
            state = DEFAULT_TRACE_STATE
            trace_id = self.id_generator.generate_trace_id()
            random = self._random
            decided = self._bound is not None
            sampled = decided and trace_id & _TRACE_ID_LIMIT < self._bound  # type: ignore[operator]
        recording = sampled
        if not decided:
            result = self.sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
            recording, sampled = result.decision is not _DROP, result.decision is _RECORD
            attributes, state = result.attributes, result.trace_state or DEFAULT_TRACE_STATE
        flags = _FLAGS[(_SAMPLED if sampled else 0) | random]
        # What nobody is to see (`OTEL_TRACES_EXPORTER=none`) is not recorded, but its ids are in logs and go on.
        if not recording or not self.span_processor._span_processors:
            unseen, span_id = _make_object(NonRecordingSpan), self.id_generator.generate_span_id()
            valid = span_id > 0 < trace_id
            unseen._context = _make_tuple(SpanContext, (trace_id, span_id, False, flags, state, valid))
            return unseen
        return parent, trace_id, flags, state or DEFAULT_TRACE_STATE, attributes


def _are_default(limits: sdk.SpanLimits) -> bool:
    """Whether the limits that a lean span keeps in its own way are those that nobody set."""
    return (
        limits.max_span_attributes == _MOST_ATTRIBUTES
        and limits.max_span_attribute_length is None
        and limits.max_links != 0
    )


def _follows_parent(sampler: sampling.Sampler) -> bool:
    """Whether a span with a parent is sampled if and only if its parent is, so that nobody need be asked."""
    return (
        isinstance(sampler, sampling.ParentBased)
        and type(sampler).should_sample is sampling.ParentBased.should_sample
        and sampler._remote_parent_sampled is sampler._local_parent_sampled is sampling.ALWAYS_ON
        and sampler._remote_parent_not_sampled is sampler._local_parent_not_sampled is sampling.ALWAYS_OFF
    )


def _bound(root: Any) -> int | None:
    """Return below which trace id, of its last 64 bits, a trace is sampled; None where the sampler is to be asked."""
    if type(root) is sampling.StaticSampler:
        known = {_RECORD: _TRACE_ID_LIMIT + 1, _DROP: 0}
        return known.get(root._decision)
    return root.bound if type(root) is sampling.TraceIdRatioBased else None


class LeanTracerProvider(sdk.TracerProvider):
    """The SDK's provider, with `LeanTracer`s."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("active_span_processor", _Processors())  # type: ignore[no-untyped-call]
        super().__init__(**options)

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


def context_with(span: trace.Span) -> Context:
    """Return the current context with `span` as its span."""
    copy = Context(current())
    _set_item(copy, _SPAN_KEY, span)  # it is nobody else's yet
    return copy
