"""What happens once, before the bot: variables are checked, a second loading is detected, OpenTelemetry loads otelbot.

Called by the launcher's sitecustomize and by `otelbot.instrument()`. Imports nothing of OpenTelemetry before the
variables are checked: some are read at import.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otelbot import environment, settings
from otelbot.privacy import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("otelbot")
_started = False


def initialize() -> None:
    """Set up telemetry in this process. Never raises; says in one sentence what it could not do."""
    global _started  # noqa: PLW0603 - one process, one start
    if _started:
        _log.warning(
            "otelbot: already set up in this process; the second otelbot.instrument() or otelbot-instrument did nothing"
        )
        return
    _started = True
    try:
        _check_variables()
        if switched_off():
            return
        # For this moment only: another Python service that the bot starts may have a distribution of its own.
        with in_environ(OTEL_PYTHON_DISTRO="otelbot", OTEL_PYTHON_CONFIGURATOR="otelbot"):
            from opentelemetry.instrumentation.auto_instrumentation import initialize as load

            load(swallow_exceptions=False)
    except Exception as error:
        _log.warning(
            "otelbot: telemetry could not be set up (%s: %s); the bot runs without it. `otelbot doctor` says more.",
            type(error).__name__,
            scrub(str(error)),
        )
        _log.debug("otelbot: the traceback", exc_info=True)


def switched_off() -> bool:
    """Whether nothing of otelbot is wanted: `OTEL_SDK_DISABLED=true`."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


@contextmanager
def in_environ(**variables: str) -> Iterator[None]:
    """Set the variables that are not set, or empty, and take them out again."""
    ours = [name for name in variables if not os.environ.get(name, "").strip()]
    os.environ.update({name: variables[name] for name in ours})
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def loaded_by_opentelemetry() -> None:
    """Note that OpenTelemetry loads the distro. `opentelemetry-instrument` does so without `initialize`."""
    global _started  # noqa: PLW0603
    if not _started:
        _started = True
        _check_variables()


def _check_variables() -> None:
    for problem in (*settings.current().problems, *environment.discard_unusable(os.environ)):
        _log.warning("otelbot: %s", scrub(str(problem)))
