"""Makes OpenTelemetry's instruments from what `signals.py` declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from otelbot.signals import Instrument


def create(
    meter: Meter, instrument: Instrument, observe: Callable[[CallbackOptions], Iterable[Observation]] | None = None
) -> Any:
    """Return the instrument of `meter`. Those whose kind begins with `observable_` are asked through `observe`."""
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if instrument.kind == "histogram":
        return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=instrument.buckets)
    if instrument.kind == "counter":
        return meter.create_counter(name, unit, description)
    if instrument.kind == "updowncounter":
        return meter.create_up_down_counter(name, unit, description)
    callbacks = [observe] if observe is not None else []
    if instrument.kind == "observable_counter":
        return meter.create_observable_counter(name, callbacks, unit, description)
    if instrument.kind == "observable_updowncounter":
        return meter.create_observable_up_down_counter(name, callbacks, unit, description)
    return meter.create_observable_gauge(name, callbacks, unit, description)
