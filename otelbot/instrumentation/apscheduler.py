"""APScheduler 3: each run of a job is a trace of its own, with what the job sends in it."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from otelbot import __version__, signals
from otelbot.instrumentation.patching import never_raises
from otelbot.privacy import error_type, exception_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span


def instrument() -> None:
    """Run when `apscheduler.executors.base` is imported: the executors take the functions from there."""
    from apscheduler.executors import base

    run_job, run_coroutine_job = base.run_job, base.run_coroutine_job

    @wraps(run_job)
    def run(job: Any, *args: Any, **kwargs: Any) -> Any:
        with _span(job) as span:
            events = run_job(job, *args, **kwargs)
            _note_errors(span, events)
            return events

    @wraps(run_coroutine_job)
    async def run_coroutine(job: Any, *args: Any, **kwargs: Any) -> Any:
        with _span(job) as span:
            events = await run_coroutine_job(job, *args, **kwargs)
            _note_errors(span, events)
            return events

    base.run_job, base.run_coroutine_job = run, run_coroutine


def _span(job: Any) -> AbstractContextManager[Span]:
    name = str(getattr(job.func, "__qualname__", None) or type(job.func).__qualname__).rpartition("<locals>.")[2]
    function = f"{getattr(job.func, '__module__', '')}.{name}"
    return trace.get_tracer(signals.SCOPE, __version__).start_as_current_span(
        name,
        Context(),
        SpanKind.INTERNAL,
        {signals.CODE_FUNCTION_NAME: function},
        record_exception=False,
        set_status_on_exception=False,
    )


@never_raises
def _note_errors(span: Span, events: Iterable[Any]) -> None:
    """The scheduler catches what a job raises, and tells it in its events."""
    for event in events:
        error = getattr(event, "exception", None)
        if error is not None:
            span.set_attribute(signals.ERROR_TYPE, error_type(error))
            span.add_event(signals.EXCEPTION_EVENT, exception_attributes(error))
            span.set_status(StatusCode.ERROR, error_type(error))
