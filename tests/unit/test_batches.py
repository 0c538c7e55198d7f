"""Between the end of a span and its request: nothing lost, nothing twice, bounded, and never in the bot's way."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelbot import privacy
from otelbot.demo.waiting import PATIENCE
from otelbot.export.batches import Batches, Schedule
from otelbot.export.connection import Verdict
from otelbot.export.encoding import encode_span
from otelbot.export.exporters import OtlpLogProcessor, OtlpSpanProcessor
from otelbot.export.outages import Outages
from otelbot.export.pace import Pace
from otelbot.export.sender import Sender
from otelbot.export.target import Target

NEVER = 3600.0
SCOPE = InstrumentationScope("shop", "1")


class Endpoint:
    """Stands for the connection and keeps what it is sent."""

    def __init__(self):
        self.payloads = []
        self.interval = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self, _target):
        return self

    def post(self, payload, timeout):
        self.open.wait(timeout)
        self.payloads.append(payload)
        return Verdict(True, interval=self.interval)

    def close(self):
        pass

    def requests(self, message=ExportTraceServiceRequest):
        return [message.FromString(payload) for payload in self.payloads]

    def names(self):
        return [
            span.name
            for request in self.requests()
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


@pytest.fixture
def endpoint(monkeypatch):
    endpoint = Endpoint()
    monkeypatch.setattr("otelbot.export.sender.Connection", endpoint)
    return endpoint


@pytest.fixture
def make(endpoint):
    made = []

    def make(delay=NEVER, batch=512, max_bytes=2**20, signal="traces", **bounds):
        sender = Sender(Target(signal, "http://127.0.0.1:1"), Outages(), 2**24, pace := Pace())
        batches = Batches(
            sender, lambda: Resource({"service.name": "shop"}), Schedule(delay, batch, **bounds), max_bytes, pace
        )
        made.append((batches, sender))
        return batches, sender

    yield make
    for batches, sender in made:
        batches.close()
        sender.close(time.monotonic() + PATIENCE)


def span(name):
    """The body of a `Span` with nothing but a name."""
    return b"\x2a" + bytes((len(name),)) + name.encode()


def until(true):
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_four_threads(work):
    """Call `work` with the number of each thread, and wait for all."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def sent(batches, sender):
    """End both, so that everything is where it will stay."""
    batches.close()
    sender.close(time.monotonic() + PATIENCE)


def test_what_waits_is_sent_when_its_time_has_come(make, endpoint):
    batches, _ = make(delay=0.01)
    batches.add(SCOPE, span("a"))
    until(lambda: endpoint.names() == ["a"])
    batches.add(SCOPE, span("b"))
    until(lambda: endpoint.names() == ["a", "b"])


def test_a_full_batch_does_not_wait(make, endpoint):
    batches, _ = make(batch=3)
    for name in "abc":
        batches.add(SCOPE, span(name))
    until(lambda: endpoint.names() == ["a", "b", "c"])


def test_much_does_not_wait_either_and_makes_no_huge_request(make, endpoint):
    batches, _ = make(max_bytes=2**24)
    big = b"\x2a" + b"\x80\x80\x10" + b"x" * 2**18
    for _ in range(10):
        batches.add(SCOPE, big)
    until(lambda: len(endpoint.names()) >= 4)
    batches.hand_over()
    until(lambda: len(endpoint.names()) == 10)
    assert max(map(len, endpoint.payloads)) < 2 * 2**20


def test_a_request_has_one_group_for_each_scope_in_the_order_of_their_ends(make, endpoint):
    batches, sender = make()
    equal = InstrumentationScope("shop", "1")
    other = InstrumentationScope("other", "2", "https://schema")
    for scope, name in ((SCOPE, "a"), (other, "b"), (equal, "c"), (None, "d"), (SCOPE, "e")):
        batches.add(scope, span(name))
    sent(batches, sender)
    (request,) = endpoint.requests()
    (group,) = request.resource_spans
    assert group.resource.attributes[0].value.string_value == "shop"
    assert [
        (each.scope.name, each.scope.version, each.schema_url, [span.name for span in each.spans])
        for each in group.scope_spans
    ] == [("shop", "1", "", ["a", "c", "e"]), ("other", "2", "https://schema", ["b"]), ("", "", "", ["d"])]


def test_the_resource_is_asked_for_each_request(endpoint):
    names = iter(["before", "after"])
    sender = Sender(Target("traces", "http://127.0.0.1:1"), Outages(), 2**24)
    batches = Batches(sender, lambda: Resource({"bot": next(names)}), Schedule(NEVER), 2**20)
    for _ in range(2):
        batches.add(SCOPE, span("a"))
        batches.hand_over()
    sent(batches, sender)
    assert [request.resource_spans[0].resource.attributes[0].value.string_value for request in endpoint.requests()] == [
        "before",
        "after",
    ]


def test_nothing_is_lost_or_sent_twice_when_many_add_and_drain(make, endpoint):
    batches, sender = make(delay=0.001, batch=7)

    def add(worker):
        for number in range(2000):
            batches.add(SCOPE, span(f"{worker}-{number}"))
            if number % 100 == 0:
                batches.hand_over()

    in_four_threads(add)
    sent(batches, sender)
    names = endpoint.names()
    assert len(names) == len(set(names)) == 8000 == sender.sent
    for worker in range(4):
        own = [int(name.partition("-")[2]) for name in names if name.startswith(f"{worker}-")]
        assert sorted(own) == list(range(2000))
    assert sum(sender.dropped.values()) == 0
    assert batches._bytes == 0


def test_the_oldest_goes_when_too_many_bytes_wait(make, endpoint):
    batches, sender = make(max_bytes=100)
    held = batches._handing_over
    with held:  # nothing is handed over meanwhile
        for number in range(50):
            batches.add(SCOPE, span(f"{number:08}"))
        waiting = len(batches._waiting)
    sent(batches, sender)
    assert waiting == 10
    assert sender.dropped["queue_full"] == 40
    assert endpoint.names() == [f"{number:08}" for number in range(40, 50)]


def test_a_queue_size_that_is_set_bounds_what_waits(make, endpoint):
    batches, sender = make(batch=2, queue=3)
    with batches._handing_over:
        for name in "abcdef":
            batches.add(SCOPE, span(name))
    sent(batches, sender)
    assert endpoint.names() == ["d", "e", "f"]
    assert sender.dropped["queue_full"] == 3


def test_what_ends_after_the_end_is_counted(make, endpoint):
    batches, sender = make()
    batches.add(SCOPE, span("a"))
    batches.close()
    batches.add(SCOPE, span("late, but the sender still takes it"))
    sender.close(time.monotonic() + PATIENCE)
    batches.add(SCOPE, span("too late"))
    assert endpoint.names() == ["a", "late, but the sender still takes it"]
    assert sender.dropped["undelivered"] == 1


def test_a_hand_over_that_a_signal_interrupts_does_not_keep_the_end_waiting_for_ever(make, endpoint, monkeypatch):
    monkeypatch.setattr("otelbot.export.batches._PATIENCE", 0.01)
    batches, sender = make()
    batches.add(SCOPE, span("a"))
    batches._handing_over.acquire()  # by a thread that waits in a signal handler for the flush
    sent(batches, sender)
    assert endpoint.names() == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_with_nothing_and_sends_by_itself(make, endpoint, tmp_path):
    batches, sender = make(delay=0.05)
    endpoint.open.clear()
    batches._handing_over.acquire()  # as another thread may hold it at that moment
    batches.add(SCOPE, span("of the parent"))
    provider_of(batches).get_tracer("scope").start_span("another of the parent").end()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            endpoint.open.set()
            sender.after_fork_in_child()
            batches.after_fork_in_child()
            batches.add(SCOPE, span("of the child"))
            until(lambda: endpoint.names() == ["of the child"])
            status = 0
        finally:
            os._exit(status)
    batches._handing_over.release()
    endpoint.open.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sent(batches, sender)
    assert endpoint.names() == ["of the parent", "another of the parent"]


def provider_of(batches, **options):
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(OtlpSpanProcessor(batches))
    return provider


def test_spans_are_sent_by_a_flush_and_at_the_end(make, endpoint):
    batches, sender = make()
    provider = provider_of(batches)
    provider.get_tracer("scope").start_span("first").end()
    provider.force_flush()
    until(lambda: endpoint.names() == ["first"])
    provider.get_tracer("scope").start_span("second").end()
    provider.shutdown()
    sender.close(time.monotonic() + PATIENCE)
    assert endpoint.names() == ["first", "second"]


@pytest.mark.parametrize("number", [1, 31, 32, 33, 100])
def test_spans_that_end_while_others_are_encoded_are_sent_once(make, endpoint, monkeypatch, number):
    """A signal's handler hands everything over while the bot encodes, and so does the thread."""
    batches, sender = make()
    tracer = provider_of(batches).get_tracer("scope")
    encoded, late = [], []

    def encode_and_be_interrupted(span):
        encoded.append(span)
        if len(encoded) in {1, 20}:
            late.append(f"late {len(encoded)}")
            tracer.start_span(late[-1]).end()
            batches.hand_over()
        return encode_span(span)

    monkeypatch.setattr("otelbot.export.exporters.encode_span", encode_and_be_interrupted)
    names = [f"span {each}" for each in range(number)]
    for name in names:
        tracer.start_span(name).end()
    sent(batches, sender)
    assert late
    assert sorted(endpoint.names()) == sorted([*names, *late])
    assert [name for name in endpoint.names() if name not in late] == names
    assert batches._bytes == 0


def test_bytes_are_counted_once_where_everything_is_handed_over_while_they_are_counted(make, endpoint, monkeypatch):
    batches, sender = make()
    tracer = provider_of(batches).get_tracer("scope")

    class Item(bytes):
        def __len__(self):
            if batches._waiting:
                batches.hand_over()
            return super().__len__()

    monkeypatch.setattr("otelbot.export.exporters.encode_span", lambda span: Item(encode_span(span)))
    for number in range(32):
        tracer.start_span(str(number)).end()
    assert batches._bytes == 0
    sent(batches, sender)
    assert endpoint.names() == [str(number) for number in range(32)]


def test_a_span_that_ends_without_room_on_the_stack_costs_no_others(make, endpoint):
    batches, sender = make()
    tracer = provider_of(batches).get_tracer("scope")
    for number in range(31):
        tracer.start_span(str(number)).end()
    deep = [tracer.start_span("deep") for _ in range(100)]

    def recurse():
        try:
            recurse()
        except RecursionError:
            if deep:
                deep.pop().end()
            raise

    with suppress(RecursionError):
        recurse()
    sent(batches, sender)
    assert [name for name in endpoint.names() if name != "deep"] == [str(number) for number in range(31)]
    assert sender.dropped["refused"] == 0


def test_spans_that_threads_end_are_sent_once(make, endpoint):
    batches, sender = make(delay=0.001)
    tracer = provider_of(batches).get_tracer("scope")

    def end_many(worker):
        for number in range(1000):
            tracer.start_span(f"{worker}-{number}").end()

    in_four_threads(end_many)
    sent(batches, sender)
    assert Counter(endpoint.names()) == Counter(f"{worker}-{number}" for worker in range(4) for number in range(1000))
    assert batches._bytes == 0


def test_spans_that_are_recorded_but_not_sampled_are_not_sent(make, endpoint):
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class RecordOnly(Sampler):
        def should_sample(self, *_args, **_kwargs):
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self):
            return "RecordOnly"

    batches, sender = make()
    for sampler in (RecordOnly(), ALWAYS_OFF):
        provider_of(batches, sampler=sampler).get_tracer("scope").start_span("span").end()
    sent(batches, sender)
    assert endpoint.payloads == []


@pytest.mark.parametrize(("batch", "waiting"), [(512, "once more ***"), (1, f"once more {'*' * 18}")])
def test_a_secret_that_becomes_known_while_it_waits_does_not_leave(make, endpoint, batch, waiting):
    """In the first case it waits as a span, in the second encoded."""
    secret = f"webhook-secret-{batch + 100}"
    batches, sender = make(batch=batch)
    batches._open_gate = lambda: None
    tracer = provider_of(batches).get_tracer("scope")

    def end(name):
        tracer.start_span(name).end()

    endpoint.open.clear()
    end("before")
    end(f"set {secret} or {secret.upper()}")
    batches.hand_over()  # to a sender that waits
    end(f"once more {secret}")
    privacy.register_secret(secret)
    batches.hand_over()
    end(f"after {secret}")
    endpoint.open.set()
    sent(batches, sender)
    hidden = "*" * len(secret)
    assert endpoint.names()[-4:] == ["before", f"set {hidden} or {hidden}", waiting, "after ***"]


def test_log_records_are_sent_in_their_order_however_they_wait(make, endpoint):
    batches, sender = make(signal="logs")
    processor = OtlpLogProcessor(batches)
    for number in range(40):
        body = str(number) * (5000 if number in {3, 37} else 1)
        processor.emit_message(SCOPE, number, b"", body, None)
        if number % 10 == 0:
            processor.emit_plain(SCOPE, (number, number), (9, "INFO"), f"plain {number}", {}, (0, 0, 0))
    sent(batches, sender)
    (request,) = endpoint.requests(ExportLogsServiceRequest)
    times = [record.time_unix_nano for record in request.resource_logs[0].scope_logs[0].log_records]
    assert times == sorted([*range(40), 0, 10, 20, 30])


def test_log_records_are_sent(make, endpoint):
    batches, sender = make(signal="logs")
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(OtlpLogProcessor(batches))
    provider.get_logger("shop").emit(LogRecord(body="hello", attributes={"a": 1}))
    provider.shutdown()
    sender.close(time.monotonic() + PATIENCE)
    (request,) = endpoint.requests(ExportLogsServiceRequest)
    (group,) = request.resource_logs[0].scope_logs
    assert (group.scope.name, group.log_records[0].body.string_value) == ("shop", "hello")


def test_what_can_not_be_encoded_is_counted_and_said_once_and_the_bot_goes_on(make, endpoint, caplog):
    batches, sender = make()
    tracer = provider_of(batches).get_tracer("scope")
    for _ in range(3):
        tracer.start_span("odd", start_time=1.5).end()  # a time in seconds, where nanoseconds belong
    tracer.start_span("good").end()
    sent(batches, sender)
    assert endpoint.names() == ["good"]
    assert sender.dropped["refused"] == 3
    assert caplog.text.count("some of the traces can't be encoded") == 1


def test_an_endpoint_that_asks_for_more_gets_it_sooner(make, endpoint):
    batches, _ = make()
    endpoint.interval = 1.0
    batches.add(None, span("first"))
    batches.hand_over()
    until(endpoint.names)
    batches.add(None, span("second"))
    until(lambda: endpoint.names() == ["first", "second"])


def test_a_delay_that_a_variable_sets_stays_whatever_an_endpoint_asks_for(make, endpoint):
    batches, sender = make(fixed=True)
    endpoint.interval = 1.0
    batches.add(None, span("first"))
    batches.hand_over()
    until(lambda: sender.sent)
    assert batches._delay() == NEVER


@pytest.mark.parametrize(
    ("signal", "environ", "schedule"),
    [
        ("traces", {}, Schedule(5.0)),
        ("logs", {}, Schedule(1.0)),
        ("traces", {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_MAX_QUEUE_SIZE": "9"}, Schedule(0.1, fixed=True)),
        (
            "logs",
            {"OTEL_BLRP_MAX_QUEUE_SIZE": "90", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "50", "OTEL_BLRP_SCHEDULE_DELAY": ""},
            Schedule(1.0, 50, 90),
        ),
        ("traces", {"OTEL_BSP_MAX_QUEUE_SIZE": "90"}, Schedule(5.0, 22, 90)),
        ("traces", {"OTEL_BSP_MAX_QUEUE_SIZE": "3"}, Schedule(5.0, 1, 3)),
    ],
)
def test_the_standard_variables_set_the_schedule(signal, environ, schedule):
    assert Schedule.from_environ(signal, environ) == schedule
