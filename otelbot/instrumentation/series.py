"""Where a value of a metric ends up in the SDK: the aggregations of one set of attributes, one per reader and view.

Does what `aggregate` of the SDK's sum and explicit-bucket histogram do, with private members of the pinned SDK, because
its general way costs 8 to 9 µs a value. Any other aggregation is handed a measurement, and what is to be refused goes
all the way through the SDK.
`tests/unit/test_meters.py` compares what comes out with what the SDK makes of the same values.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current
from opentelemetry.sdk.metrics import UpDownCounter
from opentelemetry.sdk.metrics._internal import _ProxyMeterConfig
from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
from opentelemetry.sdk.metrics._internal.aggregation import (
    _DropAggregation,
    _ExplicitBucketHistogramAggregation,
    _SumAggregation,
)
from opentelemetry.sdk.metrics._internal.exemplar import (
    AlignedHistogramBucketExemplarReservoir,
    AlwaysOffExemplarFilter,
    SimpleFixedSizeExemplarReservoir,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics._internal.exemplar.exemplar_reservoir import ExemplarBucket
from opentelemetry.sdk.metrics._internal.measurement import Measurement
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.trace import TraceFlags, get_current_span, set_span_in_context

from otelbot.instrumentation.patching import Patches

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    Update = Callable[[float, Span | None], None]

_SAMPLED = TraceFlags.SAMPLED
_BEYOND = -1  # stands for the bucket of an amount that is not within the extremes

# Stand in for what a reservoir keeps: where it has nothing yet, and where nobody wants an exemplar.
_NO_EXEMPLAR = ExemplarBucket()
_UNWANTED = ExemplarBucket()
_UNWANTED._ExemplarBucket__offered = True  # type: ignore[attr-defined]
_NO_RESERVOIR = SimpleFixedSizeExemplarReservoir()
_NO_RESERVOIR._measurements_seen = 1


def when_changed(forget: Callable[[], None]) -> None:
    """Have `forget` called whenever what `find` has returned may no longer be true.

    Readers come and go, and meters are switched off and on: the SDK tells nobody, and asking costs every single value.
    """

    def then_forget(method: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            finally:
                forget()

        return change

    patches = Patches()
    patches.method(SynchronousMeasurementConsumer, "add_metric_reader", then_forget)
    patches.method(SynchronousMeasurementConsumer, "remove_metric_reader", then_forget)
    patches.method(_ProxyMeterConfig, "update", then_forget)


def find(instrument: Any, attributes: dict[str, Any], by_sdk: Update) -> Update | None:
    """Return what adds to the series in which a recording of `attributes` by the SDK has just ended.

    None is where the SDK has it in some other way.

    :param by_sdk: records a value of these attributes in the SDK's own way, to be refused with its own words.
    """
    consumer = instrument._measurement_consumer
    if type(consumer) is not SynchronousMeasurementConsumer or not instrument._is_enabled():
        return None
    updates = []
    for storage in consumer._reader_storages.values():
        matches = storage._instrument_view_instrument_matches.get(instrument)
        if matches is None:
            return None
        for match in matches:
            keys = match._view._attribute_keys
            kept = attributes if keys is None else {key: attributes[key] for key in attributes if key in keys}
            aggregation = match._attributes_aggregation.get(_hash_attributes(kept))
            if aggregation is None:
                return None
            if type(aggregation) is not _DropAggregation:
                exemplar_filter = storage._sdk_config.exemplar_filter
                updates.append(_update(aggregation, instrument, exemplar_filter, attributes, by_sdk))
    return updates[0] if len(updates) == 1 else _all(updates, _least(instrument), by_sdk)


def _all(updates: list[Update], least: float, by_sdk: Update) -> Update:
    def update_all(amount: float, span: Span | None) -> None:
        if least <= amount < math.inf:
            for update in updates:
                update(amount, span)
        else:
            by_sdk(amount, span)

    return update_all


def _least(instrument: Any) -> float:
    return -sys.float_info.max if isinstance(instrument, UpDownCounter) else 0.0


def _update(
    aggregation: Any, instrument: Any, exemplar_filter: Any, attributes: dict[str, Any], by_sdk: Update
) -> Update:
    least = _least(instrument)

    def aggregate(amount: float, span: Span | None) -> None:
        if not least <= amount < math.inf:
            by_sdk(amount, span)
            return
        context = _context(span)
        measurement = Measurement(amount, time_ns(), instrument, context, attributes)
        sampled = exemplar_filter.should_sample(amount, measurement.time_unix_nano, attributes, context)
        aggregation.aggregate(measurement, sampled)

    if type(exemplar_filter) is TraceBasedExemplarFilter:
        exemplars = True
    elif type(exemplar_filter) is AlwaysOffExemplarFilter:
        exemplars = False
    else:
        return aggregate
    reservoir: Any = aggregation._reservoir
    if (
        type(aggregation) is _SumAggregation
        and type(reservoir) is SimpleFixedSizeExemplarReservoir
        and reservoir._size == 1
    ):
        return _sum(aggregation, least, attributes, by_sdk, exemplars=exemplars)
    if (
        type(aggregation) is _ExplicitBucketHistogramAggregation
        and aggregation._record_min_max
        and type(reservoir) is AlignedHistogramBucketExemplarReservoir
    ):
        return _histogram(aggregation, least, attributes, by_sdk, exemplars=exemplars)
    return aggregate


# Of exemplars, one an interval is kept, of a histogram one a bucket. Which one doesn't matter: no more are offered.
# Nothing is called while a lock is held: where Python is called, it may collect garbage or run a signal's handler.


def _sum(aggregation: Any, least: float, attributes: dict[str, Any], by_sdk: Update, *, exemplars: bool) -> Update:
    lock = aggregation._lock
    reservoir = aggregation._reservoir if exemplars else _NO_RESERVOIR
    usual = (1, -1) if least < 0 else (1,)  # whose range need not be looked at

    def add(amount: float, span: Span | None) -> None:
        if amount not in usual and not least <= amount < math.inf:
            by_sdk(amount, span)
            return
        try:
            with lock:
                aggregation._value += amount
        except TypeError:  # it is None: this is the first value of an interval
            with lock:
                value = aggregation._value
                aggregation._value = amount if value is None else value + amount
        if not reservoir._measurements_seen:
            of = get_current_span() if span is None else span
            # The SDK's spans and those that do not record have it there, which spares two calls; [3] is its flags.
            if (getattr(of, "_context", None) or of.get_span_context())[3] & _SAMPLED:
                reservoir.offer(amount, time_ns(), attributes, _context(span))

    return add


def _histogram(
    aggregation: Any, least: float, attributes: dict[str, Any], by_sdk: Update, *, exemplars: bool
) -> Update:
    lock, boundaries, reservoir = aggregation._lock, aggregation._boundaries, aggregation._reservoir
    buckets = len(boundaries) + 1
    offered = [_NO_EXEMPLAR if exemplars else _UNWANTED] * buckets
    offered.append(_NO_EXEMPLAR)  # that of _BEYOND, which is never found to be offered

    def record(amount: float, span: Span | None) -> None:
        bucket = bisect_left(boundaries, amount)
        with lock:
            # Between the interval's extremes is neither its first amount nor one that is to be refused.
            if not (amount >= aggregation._min and amount <= aggregation._max):
                bucket = _BEYOND
            else:
                aggregation._value[bucket] += 1
                aggregation._sum += amount
        if not offered[bucket]._ExemplarBucket__offered:  # type: ignore[attr-defined]
            if bucket == _BEYOND:
                bucket = record_extreme(amount, span)
                if bucket == _BEYOND or offered[bucket]._ExemplarBucket__offered:  # type: ignore[attr-defined]
                    return
            of = get_current_span() if span is None else span
            if (getattr(of, "_context", None) or of.get_span_context())[3] & _SAMPLED:
                reservoir.offer(amount, time_ns(), attributes, _context(span))
                offered[bucket] = reservoir._reservoir_storage[bucket]

    def record_extreme(amount: float, span: Span | None) -> int:
        """Return the bucket to which `amount` was added, or _BEYOND where it was refused."""
        if not least <= amount < math.inf:
            by_sdk(amount, span)
            return _BEYOND
        bucket, empty = bisect_left(boundaries, amount), [0] * buckets
        with lock:
            if aggregation._value is None:
                aggregation._value = empty
            aggregation._value[bucket] += 1
            aggregation._sum += amount
            if amount < aggregation._min:  # noqa: PLR1730 - `min` and `max` are calls, see above
                aggregation._min = amount
            if amount > aggregation._max:  # noqa: PLR1730
                aggregation._max = amount
        return bucket

    return record


def _context(span: Span | None) -> Context:
    return get_current() if span is None else set_span_in_context(span)
