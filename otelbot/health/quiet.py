"""What a check asks is none of the bot's doing: no spans and no metrics come of it."""

from __future__ import annotations

import contextvars

from opentelemetry import context
from opentelemetry.context import Context

#: True where a check runs. Asked by what counts without a span; cheaper than the keys below.
checking: contextvars.ContextVar[bool] = contextvars.ContextVar("otelbot_checking", default=False)


#: The keys that OpenTelemetry's instrumentations look up; the last one is what older ones know.
_SUPPRESS = (
    context._SUPPRESS_INSTRUMENTATION_KEY,  # noqa: SLF001
    context._SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # noqa: SLF001
    "suppress_instrumentation",
)


def quiet_context() -> contextvars.Context:
    """Return a context to run a check in: not that of an update, and without telemetry."""
    quiet = contextvars.Context()
    quiet.run(_enter)
    return quiet


def _enter() -> None:
    checking.set(True)
    context.attach(Context(dict.fromkeys(_SUPPRESS, True)))
