"""loguru's records become log records where a handler of loguru's takes them: after its level and its filter.

No sink is added: `logger.remove()` and the numbers that `logger.add` returns stay as they are. A record that loguru
has from `logging` (an InterceptHandler), or gives to it, is captured once, on the side where it was logged.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from otelbot.instrumentation import logging as capturing
from otelbot.instrumentation.log_records import plain, without_values
from otelbot.instrumentation.patching import Patches, never_raises

if TYPE_CHECKING:
    from collections.abc import Callable


class _State(threading.local):
    """What this thread is in the middle of."""

    def __init__(self) -> None:
        self.offered: dict[str, Any] | None = None  # to a handler of loguru's, which may refuse it
        self.handled: logging.LogRecord | None = None  # by a handler of logging's
        #: Objects that only one record has, of the last few: several handlers take the same record. Not the records,
        #: which would keep exceptions alive.
        self.captured: deque[Any] = deque(maxlen=8)


_state = _State()


def instrument() -> None:
    """Capture what every logger of loguru's logs, also by handlers that were added before."""
    from loguru._handler import Handler

    patches = Patches()
    patches.method(Handler, "emit", _emit)
    patches.method(Handler, "_protected_lock", _protected_lock)
    patches.method(logging.Handler, "handle", _handle)
    capturing.repeats_queued = _repeats_queued


def _emit(original: Callable[..., Any]) -> Callable[..., Any]:
    """Offer a record. What its sink says of it by `logging` meanwhile is no other record.

    Around all of it, and not around the sink: loguru shows the stack below when a sink raises.
    """
    busy = capturing.busy

    def emit(self: Any, record: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        offered, skips = _state.offered, busy.skips
        _state.offered = record
        if skips is None:
            busy.skips = partial(_repeats, record["message"])
        try:
            return original(self, record, *args, **kwargs)
        finally:
            _state.offered, busy.skips = offered, skips

    return emit


def _protected_lock(original: Callable[..., Any]) -> Callable[..., Any]:
    """See a record that the handler has formatted: it takes the lock to write it, on the thread that logs."""

    def protected_lock(self: Any) -> Any:
        record, _state.offered = _state.offered, None
        if record is not None:
            _capture(record)
        return original(self)

    return protected_lock


def _repeats(message: str, record: logging.LogRecord) -> bool:
    try:
        return message in record.getMessage()
    except Exception:  # a record that can't be rendered
        return False


def _is_in(message: str, record: logging.LogRecord) -> bool:
    try:
        return record.getMessage() in message
    except Exception:  # the same
        return False


def _repeats_queued(record: logging.LogRecord) -> bool:
    """Whether a record logged by a thread of `enqueue=True` is the message that the thread has taken."""
    frame = sys._getframe()  # noqa: SLF001 - found there, because a handler may be older than we are
    while frame is not None and frame.f_code.co_name != "_queued_writer":
        frame = frame.f_back  # type: ignore[assignment]
    message: Any = None if frame is None else frame.f_locals.get("message")
    return hasattr(message, "record") and _repeats(message.record["message"], record)


def _handle(original: Callable[..., Any]) -> Callable[..., Any]:
    """Know what is handled: a QueueListener hands it to an InterceptHandler long after it was logged."""
    state = _state

    def handle(self: logging.Handler, record: logging.LogRecord) -> Any:
        before, state.handled = state.handled, record
        try:
            return original(self, record)
        finally:
            state.handled = before

    return capturing.part_of(logging, handle)


@never_raises
def _capture(record: dict[str, Any]) -> None:
    capture = capturing.capture()
    its_own = record["elapsed"]
    if capture is None or any(its_own is known for known in _state.captured):
        return
    _state.captured.append(its_own)
    if _state.handled is not None and _is_in(record["message"], _state.handled):
        return
    error = record["exception"].value if record["exception"] else None
    attributes = {str(key): plain(value) for key, value in record["extra"].items()}
    attributes["code.function.name"] = record["function"]
    attributes["code.line.number"] = record["line"]
    capture.tell(
        record["name"] or "loguru",
        (record["level"].no, record["level"].name),
        record["time"].timestamp(),
        without_values(record["message"], error),
        attributes,
        error,
    )
