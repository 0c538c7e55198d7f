"""OpenTelemetry's first entry point: what is instrumented, and in which way."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from otelbot import environment, startup, tuning
from otelbot.instrumentation import patching
from otelbot.privacy import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util._importlib_metadata import EntryPoint

_log = logging.getLogger("otelbot")

#: Entry points that otelbot loads in its own way: entry point → (library, otelbot's module for it).
#: The module's `instrument()` runs when the library is first imported: a bot pays only for what it uses.
LIBRARIES: dict[str, tuple[str, str]] = {
    "aiogram": ("aiogram", "otelbot.instrumentation.aiogram"),
    "asyncpg": ("asyncpg", "otelbot.instrumentation.asyncpg"),
    "redis": ("redis", "otelbot.instrumentation.redis"),
    "aiohttp-client": ("aiohttp", "otelbot.instrumentation.aiohttp_client"),
    "system_metrics": ("", "otelbot.instrumentation.process"),
}
#: What otelbot instruments without an entry point of OpenTelemetry's, in the same form. "" is at once.
OWN: dict[str, tuple[str, str]] = {
    "event-loop": ("", "otelbot.instrumentation.event_loop"),
    "sqlalchemy-pools": ("sqlalchemy", "otelbot.instrumentation.sqlalchemy"),
    "apscheduler": ("apscheduler.executors.base", "otelbot.instrumentation.apscheduler"),
    "loguru": ("loguru", "otelbot.instrumentation.loguru"),
    "structlog": ("structlog", "otelbot.instrumentation.structlog"),
}
#: Instrumentations of others that import their library, and with it much else, where the program may not: they wait.
PATIENT = {"taskiq": "taskiq"}
#: Not loaded beside otelbot's own: it takes the console's log lines away, and would send each record twice.
REPLACED = frozenset({"logging"})


class OtelbotDistro(BaseDistro):  # type: ignore[misc]
    def _configure(self, **_kwargs: Any) -> None:
        startup.loaded_by_opentelemetry()
        # The stable names; the contrib instrumentations default to the old ones.
        with startup.in_environ(OTEL_SEMCONV_STABILITY_OPT_IN="http,database"):
            _OpenTelemetrySemanticConventionStability._initialize()  # type: ignore[no-untyped-call]  # noqa: SLF001

        disabled = environment.names(os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", ""))
        for name, (library, module) in OWN.items():
            if name not in disabled and "*" not in disabled:
                when_imported(library, _instrumenting(module), name)
        if not startup.switched_off():
            isolated("the tuning", tuning.instrument)

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentor. One that fails is reported by name and the others go on."""
        if entry_point.name in REPLACED:
            _log.debug("otelbot: %s is done by otelbot itself", entry_point.name)
            return
        if entry_point.name in LIBRARIES:
            library, module = LIBRARIES[entry_point.name]
            when_imported(library, _instrumenting(module), entry_point.name)
            return
        library = PATIENT.get(entry_point.name, "")
        when_imported(library, lambda: BaseDistro.load_instrumentor(self, entry_point, **kwargs), entry_point.name)


def _instrumenting(module: str) -> Callable[[], None]:
    def instrument() -> None:
        import_module(module).instrument()

    return instrument


def when_imported(library: str, action: Callable[[], None], name: str) -> None:
    """Run `action` once `library` is imported, at once if it is or is "". What it raises is reported under `name`."""
    if library:
        patching.when_imported(library, lambda: isolated(name, action))
    else:
        isolated(name, action)


def isolated(name: str, action: Callable[[], None]) -> None:
    """Run `action`; what it raises is said in one sentence and goes no further."""
    try:
        action()
    except Exception as error:
        _log.warning(
            "otelbot: %s could not be set up (%s: %s); everything else is. `otelbot doctor` says more.",
            name,
            type(error).__name__,
            scrub(str(error)),
        )
        _log.debug("otelbot: the traceback", exc_info=True)
