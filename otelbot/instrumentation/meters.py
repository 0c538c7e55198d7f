"""Makes instruments from what `signals.py` declares; those that are recorded to cost about a microsecond a time.

The SDK builds a measurement, cleans its attributes and hashes them for every single value. A `Recorder` goes that way
once per set of attributes, keeps what it ended in, and adds to that from then on: see `series.py`. Views, readers,
temporality and exemplars stay the SDK's. Where its parts aren't those that are known, every value goes the long way.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakValueDictionary

from opentelemetry.trace import Span, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from otelbot.instrumentation.series import Update
    from otelbot.signals import Instrument

    Values = tuple[str | int | float | bool | None, ...]

_MOST_SERIES = 2000  # of one instrument that are kept at hand: attributes are bounded elsewhere, this bounds a mistake


class _Series(dict["Values", "Update"]):
    """What to call with each amount and span of some values: what is kept of them, or else the SDK."""

    def __init__(self, by_sdk: Callable[[Values, float, Span | None], None]) -> None:
        super().__init__()
        self._by_sdk = by_sdk

    def __missing__(self, values: Values) -> Update:
        return partial(self._by_sdk, values)


class Recorder:
    """A histogram or a counter. Values of attributes are given in the order of `signals.Instrument.attributes`.

    A value of None is left out, and so is what a shorter tuple doesn't reach. The values of one attribute are all of
    one type: 1, 1.0 and True are one key of a dictionary, and so they are one series here.
    """

    def __init__(self, instrument: Any, declared: Instrument) -> None:
        self._instrument = instrument
        self._attributes = declared.attributes
        self._call = instrument.record if declared.kind == "histogram" else instrument.add
        #: `series[values](amount, span)` is what `record` does, for where even its own call is too much.
        self.series = _Series(self._record_by_sdk)
        if _sdks(instrument) is not None:
            from otelbot.instrumentation import series  # noqa: F401 - imported here, and not in some thread later
        _recorders[id(self)] = self

    def record(self, amount: float, values: Values = (), span: Span | None = None) -> None:
        """Add `amount`, in the instrument's unit, to the series of `values`.

        :param span: what an exemplar may point to; None is the span of the current context.
        """
        return self.series[values](amount, span)  # returned, because to drop it costs two instructions more

    add = record  # what it is called for counters

    def _record_by_sdk(self, values: Values, amount: float, span: Span | None) -> None:
        attributes = {key: value for key, value in zip(self._attributes, values, strict=False) if value is not None}
        self._call(amount, attributes, None if span is None else set_span_in_context(span))
        instrument = _sdks(self._instrument)
        if instrument is not None:
            self._keep(instrument, values, attributes)

    def _keep(self, instrument: Any, values: Values, attributes: dict[str, Any]) -> None:
        """Keep the series that a recording of `values` has just ended in."""
        from otelbot.instrumentation.series import find

        _hook_into_changes()
        era = _era
        update = find(instrument, attributes, partial(self._record_by_sdk, values))
        if update is None:
            return
        if len(self.series) >= _MOST_SERIES:
            self.series.clear()
        self.series[values] = update
        if era is not _era:  # it was forgotten in the meantime, by another thread, which may not have seen this one
            self.series.clear()


_recorders: WeakValueDictionary[int, Recorder] = WeakValueDictionary()
_era = object()  # another one each time that everything is forgotten
_hooked = False


def _forget() -> None:
    """Look every series up again: what was kept of them may no longer be what is collected."""
    global _era  # noqa: PLW0603 - before anything is cleared, see `_keep`
    _era = object()
    for reference in _recorders.valuerefs():  # a copy: another thread may make a recorder meanwhile
        recorder = reference()
        if recorder is not None:
            recorder.series.clear()


def _hook_into_changes() -> None:
    """From the first series on, forget all when readers or meters change, and in a child, which counts from zero.

    Hooks of a fork run in the order in which they are set: that of `configurator`, which is set with the provider and
    lets the SDK forget, goes before this one.
    """
    global _hooked  # noqa: PLW0603 - once per process; were two threads to come at once, twice does no harm
    if _hooked:
        return
    _hooked = True
    from otelbot.instrumentation.series import when_changed

    when_changed(_forget)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _sdks(instrument: Any) -> Any:
    """Return the SDK's instrument, be it behind a proxy, or None where there is none yet or another implementation."""
    instrument = getattr(instrument, "_real_instrument", instrument)
    return instrument if type(instrument).__module__ == "opentelemetry.sdk.metrics._internal.instrument" else None


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
