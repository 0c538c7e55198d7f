"""The end of the process: what is held is sent, within a bound, however the program stops.

Normal exits and SIGINT come through `atexit`. SIGTERM and SIGHUP kill a Python process at once, without it, so they get
a handler where the program has none; the process still dies of the signal. Forked children start with empty queues.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from otelbot import resource, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from otelbot.export.outages import Outages
    from otelbot.export.sender import Sender

_log = logging.getLogger("otelbot")

#: Signals whose default action ends the process without a word.
_DEADLY = (signal.SIGTERM, signal.SIGHUP)
#: How long a blocked event loop may keep a deadly signal waiting, in seconds.
_LOOP_PATIENCE = 0.5

#: Held while metrics are collected, and over a fork, so that no child inherits a lock that is held for ever.
collection_gate = threading.Lock()


class Provider(Protocol):
    """A tracer, meter or logger provider of the SDK."""

    def shutdown(self) -> None: ...


class Pipeline:
    """Everything that must be flushed: the SDK's providers, then the senders behind them."""

    def __init__(self, providers: Sequence[Provider], senders: Sequence[Sender], outages: Outages) -> None:
        self._providers = providers
        self._senders = senders
        self._outages = outages
        self.closed = False
        self._start_finisher()

    def _start_finisher(self) -> None:
        # A thread of its own, made now: it may not be made once the interpreter shuts down, and a signal handler
        # must not take locks that the code which it interrupts may hold.
        self._wanted, self._done = threading.Event(), threading.Event()
        self._deadline = 0.0
        threading.Thread(target=self._finish, name="otelbot-lifecycle", daemon=True).start()

    def _finish(self) -> None:
        self._wanted.wait()
        for callback in _before_end:
            try:
                callback()
            except Exception:
                _log.debug("otelbot: what is open could not be ended", exc_info=True)
        for sender in self._senders:
            sender.hurry(self._deadline)
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception:
                _log.debug("otelbot: a provider failed to shut down", exc_info=True)
        for sender in self._senders:
            sender.close(self._deadline)
        self._done.set()

    def close(self, timeout: float) -> None:
        """Send what is held, for at most `timeout` seconds, and stop exporting. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._deadline = time.monotonic() + timeout
        self._wanted.set()
        self._done.wait(timeout)

    def after_fork_in_child(self) -> None:
        if self.closed:
            return
        self._outages.after_fork_in_child()
        for sender in self._senders:
            sender.after_fork_in_child()
        self._start_finisher()


_pipeline: Pipeline | None = None
_signalled = False
_dying = False
_gate_held = False
_before_end: list[Callable[[], object]] = []


def before_end(callback: Callable[[], object]) -> None:
    """Have `callback` called before the last flush, in a thread, to end the spans of what the end cuts off."""
    _before_end.append(callback)


def closed() -> bool:
    """Whether the last flush has begun, so that nothing that is recorded now can be sent."""
    return _pipeline is not None and _pipeline.closed


def start(pipeline: Pipeline) -> None:
    """Have `pipeline` closed at the end of this process, and of the children that it forks."""
    global _pipeline  # noqa: PLW0603 - one process, one pipeline
    _pipeline = pipeline
    atexit.register(shutdown)
    arm_signals()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )


def shutdown(timeout: float | None = None) -> None:
    """Send what is held and stop exporting.

    :param timeout: seconds at most; `OTELBOT_FLUSH_TIMEOUT` when not given.
    """
    if _pipeline is not None:
        _pipeline.close(settings.current().flush_timeout if timeout is None else timeout)


def arm_signals() -> None:
    """Handle the deadly signals that the program leaves to their default.

    Repeated when a bot starts polling, because an event loop that closes sets them back.
    """
    if _pipeline is None or threading.current_thread() is not threading.main_thread():
        return
    for signum in _DEADLY:
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, _on_deadly_signal)


def _on_deadly_signal(signum: int, _frame: FrameType | None) -> None:
    global _signalled  # noqa: PLW0603
    if _dying:
        return  # the last flush is under way, and bounded
    loop = _running_loop()
    if loop is None or _signalled:
        _die(signum)
        return
    # Between two callbacks the loop's thread holds no lock of the SDK's; in the middle of one it may.
    _signalled = True
    loop.call_soon_threadsafe(_die, signum)
    again = threading.Timer(_LOOP_PATIENCE, os.kill, (os.getpid(), signum))
    again.daemon = True
    again.start()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _die(signum: int) -> None:
    """Flush, then end as the program would have without otelbot: killed by the signal."""
    global _dying  # noqa: PLW0603
    _dying = True
    shutdown()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _before_fork() -> None:
    global _gate_held  # noqa: PLW0603
    _gate_held = collection_gate.acquire(timeout=1.0)


def _after_fork_in_parent() -> None:
    if _gate_held:
        collection_gate.release()


def _after_fork_in_child() -> None:
    global collection_gate, _signalled, _dying  # noqa: PLW0603
    collection_gate = threading.Lock()
    _signalled = _dying = False
    resource.after_fork_in_child()
    if _pipeline is not None:
        _pipeline.after_fork_in_child()
    # multiprocessing ends its children without atexit, but with its own finalizers, which it clears first.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_pipeline, _finalize_with_multiprocessing)


def _finalize_with_multiprocessing(_pipeline: object) -> None:
    from multiprocessing.util import Finalize

    finalizer: Callable[[], None] = shutdown
    Finalize(None, finalizer, exitpriority=0)
