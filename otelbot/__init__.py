"""OpenTelemetry distribution for Telegram bots written with aiogram 3.

Most programs need no code: `otelbot-instrument python bot.py`. Programs that can't use the launcher call
`otelbot.instrument()` before they import aiogram's users, and may call `otelbot.shutdown()` at their end.
`otelbot.timed`, `otelbot.event`, `otelbot.health_check` and `otelbot.current_update_span` are for the bot's own code.
Importing this package has no side effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otelbot.health.checks import health_check
    from otelbot.logs.events import event
    from otelbot.timing import current_update_span, timed

__version__ = "0.1.0"
__all__ = ["__version__", "current_update_span", "event", "health_check", "instrument", "shutdown", "timed"]


def __getattr__(name: str) -> Any:
    """Import what needs OpenTelemetry when it is first used."""
    if name in {"current_update_span", "timed"}:
        from otelbot import timing

        return getattr(timing, name)
    if name == "health_check":
        from otelbot.health.checks import health_check

        return health_check
    if name == "event":
        from otelbot.logs.events import event

        return event
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def instrument() -> None:
    """Set up telemetry in this process, as `otelbot-instrument` does for a program that it starts.

    Reads the same environment variables. Never raises: what can't be set up is reported once, through `logging`.
    A second call does nothing but say so.
    """
    from otelbot.startup import initialize

    initialize()


def shutdown(timeout: float | None = None) -> None:
    """Send what is still held and stop exporting.

    :param timeout: seconds at most; `OTELBOT_FLUSH_TIMEOUT` (3 s) when not given.
    """
    from otelbot import lifecycle

    lifecycle.shutdown(timeout)
