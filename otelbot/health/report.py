"""What telemetry says of health: a gauge of each check, and an event when one changes."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.metrics import Observation

from otelbot import __version__, signals
from otelbot.health.checks import HEALTHY, VALUES
from otelbot.logs.events import wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import CallbackOptions

    from otelbot.health.monitor import Result


def changed(before: Result | None, result: Result) -> None:
    """Send an event where the status of a check is another than before; that all is well at first is no event."""
    previous = before.status if before is not None else HEALTHY
    worse = VALUES[result.status] < VALUES[previous]
    severity = SeverityNumber.WARN if worse else SeverityNumber.INFO
    if result.status == previous or not wanted("system", severity):
        return
    name = result.check.name
    record = LogRecord(
        timestamp=time.time_ns(),
        observed_timestamp=time.time_ns(),
        severity_number=severity,
        severity_text=severity.name,
        body=f"{name} is {result.status}" + (f": {result.error}" if result.error else ""),
        attributes={
            "health.check": name,
            "health.status": result.status,
            "health.previous": before.status if before is not None else "unknown",
        },
        event_name=signals.EVENT_SYSTEM,
    )
    get_logger(signals.SCOPE, __version__).emit(record)


#: What is observed; the instrument stays the same when a forked process begins anew.
_results: list[Callable[[], Mapping[str, Result]]] = []


def observe(results: Callable[[], Mapping[str, Result]]) -> None:
    """Have the metric say what `results` returns."""
    _results[:] = [results]
    _create()


def forget() -> None:
    """Have the metric say nothing: in a child, what is known is the parent's."""
    _results.clear()


@cache
def _create() -> None:
    gauge = signals.HEALTH_STATUS
    meter = metrics.get_meter(signals.SCOPE, __version__)
    meter.create_observable_gauge(gauge.name, [_observe], gauge.unit, gauge.description)


def _observe(_options: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(VALUES[result.status], {signals.CHECK: name})
        for results in _results
        for name, result in results().items()
    ]
