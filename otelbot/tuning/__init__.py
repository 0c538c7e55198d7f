"""What makes a bot faster than it is without otelbot and changes nothing of what it does: docs/tuning.md.

`OTELBOT_TUNE` chooses the parts. What concerns aiogram's classes is done when aiogram has been imported, the rest once
the bot has started. A part that finds something else than what it knows, or what the bot has set itself, leaves it.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otelbot import settings
from otelbot.instrumentation.patching import Patches, never_raises
from otelbot.tuning.calls import lean_forms, wrap_handlers
from otelbot.tuning.interpreter import Heap, shorten_switch_interval
from otelbot.tuning.models import flatten_models, keep_responses, skip_unset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_log = logging.getLogger("otelbot")

#: What is applied to aiogram's classes.
_AIOGRAM = {
    "forms": lean_forms,
    "handlers": wrap_handlers,
    "models": flatten_models,
    "responses": keep_responses,
    "unset": skip_unset,
}


def instrument() -> None:
    """Apply the parts of `OTELBOT_TUNE`, each when its time has come."""
    parts = settings.current().tune
    if not parts:
        return
    tuning = Tuning(parts)
    if "aiogram" in sys.modules:
        tuning.aiogram_imported()
    else:
        sys.meta_path.insert(0, _AiogramFinder(tuning))


class Tuning:
    """The parts that are wanted, and those that came to be `applied`."""

    def __init__(self, parts: frozenset[str]) -> None:
        self._parts = parts
        self.applied: set[str] = set()
        self.heap = Heap()
        self._started = False
        self._patches = Patches()
        self._patches_of_first_update = Patches()

    @contextmanager
    def importing_aiogram(self) -> Iterator[None]:
        with self.heap.quiet_import() if "gc" in self._parts else nullcontext():
            yield
            self.aiogram_imported()

    @never_raises
    def aiogram_imported(self) -> None:
        from aiogram.dispatcher.dispatcher import Dispatcher
        from aiogram.dispatcher.event.telegram import TelegramEventObserver
        from aiogram.dispatcher.router import Router

        self._apply(_AIOGRAM)

        def emit_startup(original: Any) -> Any:
            async def emit(router: Any, /, *args: Any, **kwargs: Any) -> Any:  # a router may be workflow data too
                result = await original(router, *args, **kwargs)
                if isinstance(router, Dispatcher):  # the last one: its routers come before it
                    self.bot_started()
                return result

            return emit

        def wrap_outer_middleware(original: Any) -> Any:
            def wrap(*args: Any, **kwargs: Any) -> Awaitable[Any]:
                self._patches_of_first_update.undo()
                update: Awaitable[Any] = original(*args, **kwargs)
                return update if self._started else first(update)

            return wrap

        async def first(update: Awaitable[Any]) -> Any:
            try:
                return await update
            finally:
                self.bot_started()

        self._patches.method(Router, "emit_startup", emit_startup)
        # A web framework's bot may have no start: its first update passes here. It is not `feed_update` that is
        # replaced, because the instrumentation does so on top, and what is beneath can't be taken away again.
        self._patches_of_first_update.method(TelegramEventObserver, "wrap_outer_middleware", wrap_outer_middleware)

    def _apply(self, parts: Mapping[str, Callable[[], bool]]) -> None:
        self.applied.update(part for part, apply in parts.items() if part in self._parts and never_raises(apply)())

    @never_raises
    def bot_started(self) -> None:
        """Do what is left for the moment in which everything has been imported and made. Once in a process."""
        if self._started:
            return
        self._started = True
        self._patches.undo()
        self._patches_of_first_update.undo()
        self._apply({"gc": self.heap.freeze, "threads": shorten_switch_interval})
        _say(self._parts, self.applied)


def _say(parts: frozenset[str], applied: set[str]) -> None:
    left = sorted(parts - applied)
    sentence = (
        f"otelbot: tuned {', '.join(sorted(applied)) or 'nothing'}"
        + (f"; left as it is: {', '.join(left)}" if left else "")
        + f"; {settings.TUNE.name}=none switches it off"
    )
    if _log.isEnabledFor(logging.INFO):
        _log.info(sentence)  # it takes the way of every record, also into telemetry
        return
    from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

    record = LogRecord(
        timestamp=time.time_ns(), severity_text="INFO", severity_number=SeverityNumber.INFO, body=sentence
    )
    get_logger(_log.name).emit(record)


class _AiogramFinder(MetaPathFinder):
    """Finds aiogram as Python does, with a loader that lets `tuning` know before and after."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "aiogram" or self._asking:
            return None
        self._asking = True
        try:
            spec = find_spec(name)
        finally:
            self._asking = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _AiogramLoader(spec.loader, self, self._tuning)
        return spec


class _AiogramLoader(Loader):
    def __init__(self, loader: Any, finder: _AiogramFinder, tuning: Tuning) -> None:
        self._loader = loader
        self._finder = finder
        self._tuning = tuning

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # for who asks where aiogram is, without importing it

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        # Whoever asks aiogram's module for its loader finds its own.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with self._tuning.importing_aiogram():
            self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
