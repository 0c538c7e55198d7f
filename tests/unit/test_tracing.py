"""Lean spans say what the SDK's say, whatever is asked of them; what they can't do the SDK does."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otelbot.tracing import LeanSpan, LeanTracerProvider


class Counting(IdGenerator):
    """The same ids in the same order."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        # Low enough and high enough for a ratio sampler to tell them apart.
        self._last += 1
        return (1 << 100) + self._last * 0x1234567890ABCDEF % (1 << 64)


class Picky(Sampler):
    """Drops, records or samples by the name, and adds an attribute and a trace state."""

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        decision = {"d": Decision.DROP, "r": Decision.RECORD_ONLY}.get(name[:1], Decision.RECORD_AND_SAMPLE)
        return SamplingResult(decision, {**(attributes or {}), "by": "picky"}, TraceState([("a", "b")]))

    def get_description(self) -> str:
        return "Picky"


SAMPLERS = [
    DEFAULT_ON,
    ALWAYS_ON,
    ALWAYS_OFF,
    TraceIdRatioBased(0.5),
    ParentBasedTraceIdRatio(0.5),
    ParentBased(ALWAYS_ON, local_parent_sampled=ALWAYS_OFF),
    Picky(),
    ParentBased(Picky()),
]


def traced(kind: type[TracerProvider], program, **options) -> list[dict]:
    """Return what spans say that `program(tracer)` makes."""
    exporter = InMemorySpanExporter()
    provider = kind(
        resource=Resource({"service.name": "b"}), id_generator=Counting(), shutdown_on_exit=False, **options
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    program(provider.get_tracer("scope", "1", attributes={"s": 1}))
    return [said(span) for span in exporter.get_finished_spans()]


def said(span: ReadableSpan) -> dict:
    context = span.get_span_context()
    return {
        "name": span.name,
        "context": (context, context.trace_flags, context.trace_state),
        "parent": span.parent,
        "kind": span.kind,
        "attributes": dict(span.attributes),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "events": [(event.name, dict(event.attributes), event.timestamp) for event in span.events],
        "links": [(link.context, dict(link.attributes or {})) for link in span.links],
        "status": (span.status.status_code, span.status.description),
        "times": (span.start_time, span.end_time),
        "resource": dict(span.resource.attributes),
        "scope": span.instrumentation_scope,
    }


REMOTE = [
    None,
    SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED), trace_state=TraceState([("x", "y")])),
    SpanContext(7, 8, is_remote=True),
    SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(3)),
    SpanContext(0, 0, is_remote=False),
]
values = st.one_of(
    st.text(max_size=5),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.binary(max_size=3),
    st.none(),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=2), st.integers(), max_size=2),
)
attributes = st.dictionaries(st.text(min_size=1, max_size=3), values, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("attribute"), st.text(min_size=1, max_size=3), values),
        st.tuples(st.just("attributes"), attributes),
        st.tuples(st.just("event"), st.text(max_size=3), attributes),
        st.tuples(st.just("link"), st.sampled_from(REMOTE[1:]), attributes),
        st.tuples(st.just("name"), st.text(max_size=5)),
        st.tuples(st.just("status"), st.sampled_from(StatusCode), st.none() | st.text(max_size=3)),
    ),
    max_size=6,
)


def take(span, step) -> None:
    what, *rest = step
    if what == "attribute":
        span.set_attribute(*rest)
    elif what == "attributes":
        span.set_attributes(*rest)
    elif what == "event":
        span.add_event(*rest, timestamp=5)
    elif what == "link":
        span.add_link(*rest)
    elif what == "name":
        span.update_name(*rest)
    else:
        code, description = rest
        span.set_status(Status(code, description if code is StatusCode.ERROR else None))


@given(
    names=st.lists(st.sampled_from(["s1", "d2", "r3"]), min_size=1, max_size=4),
    first=attributes,
    todo=steps,
    sampler=st.sampled_from(SAMPLERS),
    around=st.sampled_from(REMOTE),
    links=st.lists(st.sampled_from(REMOTE[1:]), max_size=2),
    kind=st.sampled_from(SpanKind),
)
def test_lean_spans_say_what_the_sdks_say(names, first, todo, sampler, around, links, kind):
    def program(tracer):
        context = Context() if around is None else set_span_in_context(NonRecordingSpan(around), Context())
        spans = []
        for name in names:  # each the child of the one before
            span = tracer.start_span(name, context, kind, first, [Link(each, {"l": 1}) for each in links], start_time=3)
            context = set_span_in_context(span, context)
            spans.append(span)
        for span in reversed(spans):
            if span.is_recording():
                for step in todo:
                    take(span, step)
                span.end(9)
                take(span, ("name", "too late"))
                span.set_attribute("late", 1)

    lean, sdk = (traced(kind, program, sampler=sampler) for kind in (LeanTracerProvider, TracerProvider))
    for spans in (lean, sdk):  # ids of spans that nobody sees are left out, so they are told by their place
        ids = {span["context"][0].span_id: place for place, span in enumerate(spans)}
        for span in spans:
            context, *rest = span["context"]
            span["context"] = (context.trace_id, ids[context.span_id], *rest)
            parent = span["parent"]
            span["parent"] = parent and (parent.trace_id, ids.get(parent.span_id, parent.is_remote), parent.is_valid)
    if all(sampler is not each for each in SAMPLERS[3:5]):  # what a ratio takes depends on the ids
        assert lean == sdk


@pytest.mark.parametrize("provider", [LeanTracerProvider, TracerProvider])
def test_at_the_limit_the_oldest_attribute_gives_way_and_is_counted(provider):
    def program(tracer):
        with tracer.start_as_current_span("full", attributes={f"a{number}": number for number in range(130)}) as span:
            span.set_attribute("last", True)
            span.set_attribute("a129", "again")

    (span,) = traced(provider, program)
    assert len(span["attributes"]) == 128
    assert span["dropped"] == (3, 0, 0)
    assert "a2" not in span["attributes"]
    assert (span["attributes"]["a129"], span["attributes"]["last"]) == ("again", True)


def test_limits_that_somebody_set_hold():
    def program(tracer):
        with tracer.start_as_current_span("x", attributes={"a": "long text", "b": 1, "c": 2}) as span:
            for number in range(3):
                span.add_event(str(number))

    limits = SpanLimits(max_span_attributes=2, max_span_attribute_length=4, max_events=1)
    (span,) = traced(LeanTracerProvider, program, span_limits=limits)
    assert (span["attributes"], span["dropped"][1]) == ({"b": 1, "c": 2}, 2)


def test_exceptions_are_recorded_as_the_sdk_does_and_statuses_set():
    def program(tracer):
        with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("fails"):
            raise ValueError("no")

    lean, sdk = (traced(kind, program)[0] for kind in (LeanTracerProvider, TracerProvider))
    assert lean["status"] == sdk["status"] == (StatusCode.ERROR, "ValueError: no")
    assert lean["events"][0][0] == sdk["events"][0][0] == "exception"
    assert lean["events"][0][1].keys() == sdk["events"][0][1].keys()


def test_processors_that_a_program_adds_see_every_span_begin_and_end():
    seen = []

    class Watching(SpanProcessor):
        def on_start(self, span, parent_context=None):
            seen.append(("start", span.name))
            span.set_attribute("added", True)

        def on_end(self, span):
            seen.append(("end", span.name, span.attributes["added"], span.is_recording()))

    provider = LeanTracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("s")
    tracer.start_span("before").end()
    provider.add_span_processor(Watching())
    tracer.start_span("after").end()
    assert seen == [("start", "after"), ("end", "after", True, False)]


def test_a_span_that_ends_twice_is_handed_over_once(caplog):
    def program(tracer):
        span = tracer.start_span("once")
        assert isinstance(span, LeanSpan)
        span.end()
        span.end()

    assert len(traced(LeanTracerProvider, program)) == 1
    assert "ended span" in caplog.text


def test_children_of_what_is_not_sampled_have_an_id_of_their_own_and_record_nothing():
    tracer = LeanTracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False).get_tracer("s")
    root = tracer.start_span("root")
    child = tracer.start_span("child", set_span_in_context(root))
    assert not child.is_recording()
    assert child.get_span_context().trace_id == root.get_span_context().trace_id
    assert child.get_span_context().span_id != root.get_span_context().span_id
    remote = NonRecordingSpan(SpanContext(7, 8, is_remote=True))
    far = tracer.start_span("child", set_span_in_context(remote)).get_span_context()
    assert (far.trace_id, far.is_remote, far.is_valid) == (7, False, True)
    assert far.span_id != 8


def watched():
    """A tracer whose spans somebody sees, and so are recorded."""
    provider = LeanTracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    return provider.get_tracer("s")


@pytest.mark.parametrize("sampler", [ParentBased(ALWAYS_ON), ALWAYS_ON, Picky()])
def test_what_nobody_sees_is_not_recorded_but_its_ids_go_on(sampler):
    provider = LeanTracerProvider(sampler=sampler, shutdown_on_exit=False)
    tracer = provider.get_tracer("s")
    root = tracer.start_span("sampled root")
    child = tracer.start_span("sampled child", set_span_in_context(root))
    for span in (root, child):
        span.set_attribute("a", 1)
        span.end()
        assert (span.is_recording(), span.get_span_context().trace_flags.sampled) == (False, True)
    assert root.get_span_context().trace_id == child.get_span_context().trace_id
    assert root.get_span_context().span_id != child.get_span_context().span_id
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer.start_span("seen", set_span_in_context(child)).end()
    (seen,) = exporter.get_finished_spans()
    assert (seen.name, seen.parent.span_id) == ("seen", child.get_span_context().span_id)


class Delegating:
    """As programs wrap a processor: it has the methods, its type has not."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_processors_that_delegate_are_called():
    exporter, seen = InMemorySpanExporter(), []
    inner = SimpleSpanProcessor(exporter)
    inner.on_start = lambda span, parent_context=None: seen.append(span.name)
    provider = LeanTracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Delegating(inner))
    provider.get_tracer("s").start_span("x").end()
    assert (seen, [span.name for span in exporter.get_finished_spans()]) == (["x"], ["x"])


def test_attributes_may_be_added_by_who_goes_through_them():
    span = watched().start_span("x", attributes={"a": 1, "b": [2]})
    for key, value in span.attributes.items():
        span.set_attribute(f"copy.{key}", value)
    assert dict(span.attributes) == {"a": 1, "b": (2,), "copy.a": 1, "copy.b": (2,)}
    with pytest.raises(TypeError):
        span.attributes["c"] = 1


def test_no_attribute_is_lost_between_threads():
    span = watched().start_span("x")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as threads:
            plain = threads.submit(lambda: [span.set_attribute(f"p{number}", number) for number in range(60)])
            lists = threads.submit(lambda: [span.set_attribute(f"l{number}", [number]) for number in range(60)])
            assert (len(plain.result()), len(lists.result())) == (60, 60)
    finally:
        sys.setswitchinterval(interval)
    assert len(span.attributes) == 120


def test_a_span_can_be_copied_and_a_key_that_is_no_text_is_dropped(caplog):
    span = watched().start_span("x", attributes={"a": ["b"]})
    span.add_event("e")
    span.set_attribute(5, "x")
    span.end()
    duplicate = copy.deepcopy(span)
    assert (duplicate.name, dict(duplicate.attributes), duplicate.events[0].name) == ("x", {"a": ("b",)}, "e")
    assert span.dropped_attributes == 1
