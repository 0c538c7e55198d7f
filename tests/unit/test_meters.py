"""What a `Recorder` records is what the SDK records, whatever views, readers and samplers there are."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.metrics import Meter, NoOpCounter, NoOpMeterProvider
from opentelemetry.metrics._internal import _ProxyMeter
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    ExemplarFilter,
    Histogram,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import UpDownCounter as SdkUpDownCounter
from opentelemetry.sdk.metrics._internal import _MeterConfig
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context, use_span

from otelbot.instrumentation import series
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.series import find
from otelbot.signals import Instrument

KINDS = ("histogram", "counter", "updowncounter")
SAMPLED = NonRecordingSpan(SpanContext(0xABC, 0xDEF, False, TraceFlags(TraceFlags.SAMPLED)))
UNSAMPLED = NonRecordingSpan(SpanContext(0x123, 0x456, False))


def declared(kind):
    buckets = (0.1, 1.0, 10.0) if kind == "histogram" else None
    return Instrument("Shop.orders", kind, "s", "Orders.", ("city", "dish", "status"), buckets)


def delta():
    delta_of_all = dict.fromkeys((SdkCounter, SdkUpDownCounter, Histogram), AggregationTemporality.DELTA)
    return InMemoryMetricReader(preferred_temporality=delta_of_all)


def provider(*readers, **options):
    return MeterProvider(readers, shutdown_on_exit=False, **options)


def recorder(meters, kind="counter"):
    return create(meters.get_meter("test"), declared(kind))


def metrics(reader):
    data = reader.get_metrics_data()
    if data is None:
        return []
    return [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]


def points(reader):
    return [point for metric in metrics(reader) for point in metric.data.data_points]


def values(reader):
    return {tuple(point.attributes.values()): point.value for point in points(reader)}


def comparable(reader):
    """Everything that is collected, but for times and for which of several values became an exemplar."""
    collected = []
    try:
        given_metrics = metrics(reader)
    except Exception as error:  # the SDK fails by itself where an exponential histogram had nothing but zeros before
        return repr(error)
    for metric in given_metrics:
        for point in metric.data.data_points:
            fields = asdict(point)
            for unstable in ("time_unix_nano", "start_time_unix_nano"):
                fields.pop(unstable)
            fields["exemplars"] = len(fields["exemplars"])
            fields["attributes"] = sorted((key, repr(value)) for key, value in fields["attributes"].items())
            fields["kind"] = (metric.name, metric.description, metric.unit, type(metric.data).__name__)
            fields["data"] = (
                getattr(metric.data, "is_monotonic", None),
                getattr(metric.data, "aggregation_temporality", None),
            )
            collected.append({key: repr(value) for key, value in fields.items()})
    return sorted(collected, key=repr)


VIEWS = (
    (),
    (View(instrument_name="shop.orders", attribute_keys={"city"}),),
    (View(instrument_name="shop.orders", name="renamed", description="Other."),),
    (View(instrument_name="shop.orders", aggregation=ExponentialBucketHistogramAggregation(max_size=4)),),
    (View(instrument_name="shop.orders", aggregation=DropAggregation()),),
    (
        View(instrument_name="shop.*", aggregation=ExplicitBucketHistogramAggregation((5.0,), record_min_max=False)),
        View(instrument_name="shop.orders", name="by.status", attribute_keys={"status"}),
    ),
)
AMOUNTS = st.one_of(
    st.integers(0, 20),
    st.floats(0, 50),
    st.sampled_from([0.1, 1.0, 10.0, -1, -0.5, math.nan, math.inf, -math.inf]),
)
VALUES = st.tuples(
    st.sampled_from([None, "Riga", "Oslo"]),
    st.sampled_from([None, True]),
    st.sampled_from([None, 1, 2]),
).flatmap(lambda whole: st.sampled_from([whole, whole, whole[:2], ()]))
STEP = st.one_of(
    st.tuples(AMOUNTS, VALUES, st.sampled_from([None, SAMPLED, UNSAMPLED])),
    st.sampled_from(["collect"]),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEP, max_size=30),
    views=st.sampled_from(VIEWS),
    exemplar_filter=st.sampled_from([TraceBasedExemplarFilter(), AlwaysOnExemplarFilter(), AlwaysOffExemplarFilter()]),
    readers=st.sampled_from([(InMemoryMetricReader,), (delta,), (InMemoryMetricReader, delta)]),
)
def test_what_is_recorded_is_what_the_sdk_makes_of_it(kind, steps, views, exemplar_filter, readers):
    ours, theirs = [make() for make in readers], [make() for make in readers]
    what = declared(kind)
    recorder = create(provider(*ours, views=views, exemplar_filter=exemplar_filter).get_meter("test"), what)
    meter = provider(*theirs, views=views, exemplar_filter=exemplar_filter).get_meter("test")
    if kind == "histogram":
        record = meter.create_histogram(
            what.name, what.unit, what.description, explicit_bucket_boundaries_advisory=what.buckets
        ).record
        record_ours = recorder.record
    else:
        make = meter.create_counter if kind == "counter" else meter.create_up_down_counter
        record, record_ours = make(what.name, what.unit, what.description).add, recorder.add

    for step in [*steps, "collect"]:
        if step == "collect":
            for our, their in zip(ours, theirs, strict=True):
                assert comparable(our) == comparable(their)
            continue
        amount, given_values, span = step
        record_ours(amount, given_values, span)
        named = zip(what.attributes, given_values, strict=False)
        attributes = {key: value for key, value in named if value is not None}
        record(amount, attributes, set_span_in_context(span) if span is not None else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_that_is_known_does_not_take_the_sdks_long_way(kind, monkeypatch):
    # The members of the SDK on which that depends are private: were they to change, this is where it shows.
    reader = InMemoryMetricReader()
    meters = provider(reader, delta(), views=[View(instrument_name="shop.orders", attribute_keys={"city", "status"})])
    orders = recorder(meters, kind)
    orders.record(1, ("Riga", "tea", 200))
    monkeypatch.setattr(meters._measurement_consumer, "consume_measurement", pytest.fail)
    for _ in range(3):
        orders.record(1, ("Riga", "tea", 200), SAMPLED)
    (point,) = points(reader)
    assert (point.sum if kind == "histogram" else point.value) == 4
    assert len(point.exemplars) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_default_series_builds_no_measurement(kind, monkeypatch):
    # What of the SDK's is known here decides on that; were it another class, the slow way would do, and nobody notice.
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader), kind)
    orders.record(1)
    monkeypatch.setattr("otelbot.instrumentation.series.Measurement", pytest.fail)
    for amount in (1, 2.5, 0, 1):
        orders.record(amount, (), SAMPLED)
    assert len(points(reader)[0].exemplars) == (3 if kind == "histogram" else 1)
    orders.record(1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_series_of_some_values_can_be_recorded_to_directly(kind):
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader), kind)
    for _ in range(3):
        orders.series["Riga", "tea"](2, SAMPLED)
    (point,) = points(reader)
    assert (dict(point.attributes), len(point.exemplars)) == ({"city": "Riga", "dish": "tea"}, 1)
    assert (point.sum if kind == "histogram" else point.value) == 6


@pytest.mark.parametrize("readers", [(InMemoryMetricReader,), (InMemoryMetricReader, delta)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_is_said_once_and_leaves_no_trace(kind, readers, caplog):
    reader, *others = [make() for make in readers]
    orders = recorder(provider(reader, *others), kind)
    refused = (math.nan, math.inf, -math.inf, *([] if kind == "updowncounter" else [-1, -0.5]))
    for _ in range(2):  # before and after the series is known
        for amount in (*refused, 1):
            orders.record(amount, (), SAMPLED)
    assert len(caplog.records) == 2 * len(refused)
    (point,) = points(reader)
    assert (point.sum if kind == "histogram" else point.value) == 2
    assert [each.value for each in point.exemplars] == [1]


def test_values_are_named_in_order_and_what_is_none_or_missing_is_left_out():
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader))
    for given_values in ((), ("Riga",), ("Riga", None, 200), (None, "tea")):
        orders.add(1, given_values)
        orders.add(1, given_values)
    assert [(dict(point.attributes), point.value) for point in points(reader)] == [
        ({}, 2),
        ({"city": "Riga"}, 2),
        ({"city": "Riga", "status": 200}, 2),
        ({"dish": "tea"}, 2),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exemplar_points_to_a_sampled_span_given_or_current(kind):
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader), kind)

    def exemplars():
        return [(each.trace_id, each.span_id, each.value) for each in points(reader)[0].exemplars]

    orders.record(1)
    orders.record(2, span=UNSAMPLED)
    with use_span(UNSAMPLED):
        orders.record(3)
    assert exemplars() == []
    orders.record(4)
    orders.record(5, span=SAMPLED)
    assert exemplars() == [(0xABC, 0xDEF, 5)]
    with use_span(SAMPLED):
        orders.record(6)
        orders.record(6.5, span=UNSAMPLED)
    assert exemplars() == [(0xABC, 0xDEF, 6)]
    assert exemplars() == []


def test_every_bucket_has_an_exemplar_of_its_own():
    reader = InMemoryMetricReader()
    durations = recorder(provider(reader), "histogram")
    for amount in (0.05, 0.5, 5, 50, 0.06, 0.6, 6, 60):
        durations.record(amount, (), SAMPLED)
    assert len(points(reader)[0].exemplars) == 4


def test_an_exemplar_has_the_attributes_that_a_view_leaves_out():
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader, views=[View(instrument_name="shop.orders", attribute_keys={"city"})]))
    orders.add(1, ("Riga", "tea"))
    orders.add(1, ("Riga", "tea"), SAMPLED)
    (point,) = points(reader)
    assert [each.filtered_attributes for each in point.exemplars] == [{"dish": "tea"}]


def test_a_filter_of_ones_own_decides_on_exemplars():
    class OfLargeOrders(ExemplarFilter):
        def should_sample(self, value, time_unix_nano, attributes, context):
            return value > 5 and attributes == {"city": "Riga"} and trace.get_current_span(context) is UNSAMPLED

    reader = InMemoryMetricReader()
    orders = recorder(provider(reader, exemplar_filter=OfLargeOrders()))
    for amount in (1, 2, 9, 3):
        orders.add(amount, ("Riga",), UNSAMPLED)
    (point,) = points(reader)
    assert [each.value for each in point.exemplars] == [9]


def test_a_reader_that_comes_later_gets_what_is_recorded_from_then_on():
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    meters = provider(first)
    orders = recorder(meters)
    orders.add(1, ("Riga",))
    orders.add(1, ("Riga",))
    meters.add_metric_reader(second)
    orders.add(1, ("Riga",))
    orders.add(1, ("Riga",))
    assert (values(first), values(second)) == ({("Riga",): 4}, {("Riga",): 2})
    meters.remove_metric_reader(second)
    orders.add(1, ("Riga",))
    assert values(first) == {("Riga",): 5}


def test_a_reader_that_comes_while_a_series_is_looked_up_gets_what_is_recorded_from_then_on(monkeypatch):
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    meters = provider(first)
    orders = recorder(meters)
    orders.add(1, ("Oslo",))

    def find_and_be_late(*args):
        found = find(*args)
        if second not in meters._measurement_consumer._reader_storages:
            meters.add_metric_reader(second)  # as another thread would
        return found

    monkeypatch.setattr(series, "find", find_and_be_late)
    for _ in range(3):
        orders.add(1, ("Riga",))
    assert values(first) == {("Oslo",): 1, ("Riga",): 3}
    assert values(second) == {("Riga",): 2}


def test_a_meter_that_is_switched_off_records_nothing_until_it_is_on_again():
    reader = InMemoryMetricReader()
    meters = provider(reader)
    orders = recorder(meters)
    for enabled in (True, False, True):
        meters._set_meter_configurator(meter_configurator=lambda _scope, on=enabled: _MeterConfig(is_enabled=on))
        orders.add(1)
        orders.add(1)
    assert values(reader) == {(): 4}


def test_what_is_made_before_the_provider_records_once_it_is_there():
    meter = _ProxyMeter("test", None, None)
    orders, durations = create(meter, declared("counter")), create(meter, declared("histogram"))
    orders.add(1)
    durations.record(1)
    reader = InMemoryMetricReader()
    meter.on_set_meter_provider(provider(reader, views=[View(instrument_name="shop.orders", name="orders")]))
    for _ in range(3):
        orders.add(1)
    assert values(reader) == {(): 3}


def test_nothing_happens_without_a_provider_or_without_readers():
    for meters in (NoOpMeterProvider(), provider()):
        for kind in KINDS:
            made = recorder(meters, kind)
            for _ in range(3):
                made.record(1, ("Riga",), SAMPLED)


def test_another_implementation_of_the_api_gets_every_value():
    got = []

    class Theirs(NoOpCounter):
        def add(self, amount, attributes=None, context=None):
            got.append((amount, attributes, trace.get_current_span(context)))

    class TheirMeter(Meter):
        def create_counter(self, name, unit="", description=""):
            return Theirs(name, unit, description)

        create_gauge = create_histogram = create_up_down_counter = create_counter
        create_observable_counter = create_observable_gauge = create_observable_up_down_counter = create_counter

    orders = create(TheirMeter("theirs"), declared("counter"))
    with use_span(UNSAMPLED):
        orders.add(1, ("Riga", None, 200), SAMPLED)
        orders.add(2)
    assert got == [(1, {"city": "Riga", "status": 200}, SAMPLED), (2, {}, UNSAMPLED)]


def test_more_series_than_are_kept_at_hand_are_counted_as_exactly():
    reader = InMemoryMetricReader()
    orders = recorder(provider(reader))
    for _ in range(2):
        for number in range(2500):
            orders.add(1, (str(number),))
    assert set(values(reader).values()) == {2}
    assert len(orders.series) <= 2000


def test_threads_lose_nothing_also_while_it_is_collected():
    reader = delta()
    meters = provider(reader, InMemoryMetricReader())
    orders, durations = recorder(meters), create(meters.get_meter("other"), declared("histogram"))
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    start = threading.Barrier(5)

    def work():
        start.wait()
        for number in range(2000):
            orders.add(1, (str(number % 3),), SAMPLED)
            durations.record(number % 13, (), SAMPLED)

    threads = [threading.Thread(target=work) for _ in range(4)]
    counted = timed = 0
    try:
        for thread in threads:
            thread.start()
        start.wait()
        while True:
            working = any(thread.is_alive() for thread in threads)
            for point in points(reader):
                if hasattr(point, "count"):
                    timed += point.count
                else:
                    counted += point.value
            if not working:
                break
    finally:
        sys.setswitchinterval(switching)
    assert (counted, timed) == (8000, 8000)


FORKING = """
import os, threading
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otelbot import configurator, signals
from otelbot.instrumentation.meters import create

reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
os.register_at_fork(after_in_child=lambda: configurator._forget_measurements(provider))
errors = create(provider.get_meter("test"), signals.ERRORS)
for _ in range(5):
    errors.add(1, ("ValueError",))
child = os.fork()
for _ in range(2):
    errors.add(1, ("ValueError",))
if child:
    assert os.waitpid(child, 0)[1] == 0
(point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
print(point.value, flush=True)
os._exit(0)
"""


def test_a_forked_child_counts_from_zero_and_its_parent_goes_on():
    result = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False)
    assert (result.stdout.split(), result.stderr) == (["2", "7"], "")
