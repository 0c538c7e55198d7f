"""Makes instruments from what `signals.py` declares; those that are recorded to cost about a microsecond a time.

The SDK builds a measurement, cleans its attributes and hashes them for every single value. A `Recorder` goes that way
once per set of attributes, keeps what it ended in, and adds to that from then on: see `series.py`. Views, readers,
temporality and exemplars stay the SDK's. Where its parts aren't those that are known, every value goes the long way.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakSet

from opentelemetry.trace import Span, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from otelbot.instrumentation.series import Series
    from otelbot.signals import Instrument

    Values = tuple[str | int | float | bool | None, ...]

_MOST_SERIES = 2000  # of one instrument that are kept at hand: attributes are bounded elsewhere, this bounds a mistake


class _Nobody:
    """Stands for the SDK's consumer of measurements until there is one."""

    _reader_storages = ()


class Recorder:
    """A histogram or a counter. Values of attributes are given in the order of `signals.Instrument.attributes`.

    A value of None is left out, and so is what a shorter tuple doesn't reach.
    """

    def __init__(self, instrument: Any, declared: Instrument) -> None:
        self._instrument = instrument
        self._attributes = declared.attributes
        self._call = instrument.record if declared.kind == "histogram" else instrument.add
        self._least = -sys.float_info.max if declared.kind == "updowncounter" else 0.0
        self._consumer: Any = _Nobody
        self._config: Any = None
        self._storages: Any = None
        self._series: dict[Values, Series] = {}
        if _sdks(instrument) is not None:
            from otelbot.instrumentation import series  # noqa: F401 - imported here, and not in some thread later
        _recorders.add(self)

    def record(self, amount: float, values: Values = (), span: Span | None = None) -> None:
        """Add `amount`, in the instrument's unit, to the series of `values`.

        :param span: what an exemplar may point to; None is the span of the current context.
        """
        if (
            self._consumer._reader_storages is self._storages  # noqa: SLF001 - replaced when a reader comes or goes
            and self._config._config.is_enabled  # noqa: SLF001 - meters can be switched off at any time
            and self._least <= amount < math.inf
        ):
            series = self._series.get(values)
            # 1, 1.0 and True are one key of a dictionary, but three values of an attribute.
            if series is not None and (series.types is None or series.types == tuple(map(type, values))):
                for update in series.updates:
                    update(amount, span)
                return
        self._record_by_sdk(amount, values, span)

    add = record  # what it is called for counters

    def _record_by_sdk(self, amount: float, values: Values, span: Span | None) -> None:
        attributes = {key: value for key, value in zip(self._attributes, values, strict=False) if value is not None}
        self._call(amount, attributes, None if span is None else set_span_in_context(span))
        instrument = _sdks(self._instrument)
        if instrument is not None:
            self._keep(instrument, values, attributes)

    def _keep(self, instrument: Any, values: Values, attributes: dict[str, Any]) -> None:
        """Keep the series that a recording of `values` has just ended in."""
        from otelbot.instrumentation.series import find

        consumer, config = instrument._measurement_consumer, instrument._meter_config  # noqa: SLF001
        with _lock:
            _hook_into_forks()
            storages = getattr(consumer, "_reader_storages", None)
            series = find(instrument, storages, attributes, values)
            if series is None or config is None:
                return
            if storages is not self._storages or len(self._series) >= _MOST_SERIES:
                self._series = {}
            self._series[values] = series
            # The storages last: who finds them in place reads the rest without the lock.
            self._consumer, self._config, self._storages = consumer, config, storages

    def forget(self) -> None:
        """Look every series up again: what was kept of it is no longer collected."""
        self._storages, self._series = None, {}


_recorders: WeakSet[Recorder] = WeakSet()
_lock = threading.RLock()  # a collection of garbage while it is held may log, and log records are counted
_forks_hooked = False


def _sdks(instrument: Any) -> Any:
    """Return the SDK's instrument, be it behind a proxy, or None where there is none yet or another implementation."""
    instrument = getattr(instrument, "_real_instrument", instrument)
    return instrument if type(instrument).__module__ == "opentelemetry.sdk.metrics._internal.instrument" else None


def _hook_into_forks() -> None:
    """From the first series on, have a child forget its parent's: `configurator` has it count from zero.

    Hooks run in the order in which they are set: the configurator's, set with the provider, goes before this one.
    """
    global _forks_hooked  # noqa: PLW0603 - once per process
    if _forks_hooked or not hasattr(os, "register_at_fork"):
        return
    _forks_hooked = True
    os.register_at_fork(after_in_child=_begin_anew)


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent's may have held it
    _lock = threading.RLock()
    for recorder in list(_recorders):
        recorder.forget()


@overload
def create(meter: Meter, instrument: Instrument) -> Recorder: ...


@overload
def create(
    meter: Meter, instrument: Instrument, observe: Callable[[CallbackOptions], Iterable[Observation]]
) -> None: ...


def create(
    meter: Meter, instrument: Instrument, observe: Callable[[CallbackOptions], Iterable[Observation]] | None = None
) -> Recorder | None:
    """Return the instrument of `meter`; those whose kind begins with `observable_` are asked through `observe`."""
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if instrument.kind == "histogram":
        histogram = meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=instrument.buckets
        )
        return Recorder(histogram, instrument)
    if instrument.kind == "counter":
        return Recorder(meter.create_counter(name, unit, description), instrument)
    if instrument.kind == "updowncounter":
        return Recorder(meter.create_up_down_counter(name, unit, description), instrument)
    callbacks = [observe] if observe is not None else []
    if instrument.kind == "observable_counter":
        meter.create_observable_counter(name, callbacks, unit, description)
    elif instrument.kind == "observable_updowncounter":
        meter.create_observable_up_down_counter(name, callbacks, unit, description)
    else:
        meter.create_observable_gauge(name, callbacks, unit, description)
    return None
