"""The end of the process: what is held is sent, within a bound, however the program stops.

Normal exits and SIGINT come through `atexit`. SIGTERM and SIGHUP kill a Python process at once, without it, so they get
a handler where the program has none; the process still dies of the signal. Forked children start with empty queues.

A signal handler may interrupt any line, also one of this module that the same thread runs, so what both use takes no
lock that is held over more than an instant: plain locks serve as one-way gates.
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
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol

from otelbot import resource, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from otelbot.export.batches import Batches
    from otelbot.export.outages import Outages
    from otelbot.export.sender import Sender

_log = logging.getLogger("otelbot")

#: Signals whose default action ends the process without a word.
_DEADLY = (signal.SIGTERM, signal.SIGHUP)
#: How long a blocked event loop may keep a deadly signal waiting, in seconds.
_LOOP_PATIENCE = 0.5
#: The senders end this much (of the bound, and at most in seconds) before who waits for them, to say what is left.
_MARGIN, _LONGEST_MARGIN = 0.05, 0.1

#: Held while metrics are collected, and over a fork, so that no child inherits a lock that is held for ever.
collection_gate = threading.Lock()


class Provider(Protocol):
    """A tracer, meter or logger provider of the SDK."""

    def shutdown(self) -> None: ...

    def force_flush(self) -> bool: ...


class Pipeline:
    """Everything that must be flushed: the SDK's providers, who hand over what waits, then the senders behind them."""

    def __init__(
        self, providers: Sequence[Provider], batches: Sequence[Batches], senders: Sequence[Sender], outages: Outages
    ) -> None:
        self._providers = providers
        self._batches = batches
        self._senders = senders
        self._outages = outages
        self.closed = False
        self._start_finisher()

    def _start_finisher(self) -> None:
        # A thread of its own, made now: it may not be made once the interpreter shuts down, and a signal handler
        # must not take locks that the code which it interrupts may hold.
        self._wanted, self._finished = threading.Lock(), threading.Lock()
        self._wanted.acquire()
        self._finished.acquire()
        self._done = False
        self._deadline = self._senders_deadline = 0.0
        threading.Thread(target=self._finish, name="otelbot-lifecycle", daemon=True).start()

    def _finish(self) -> None:
        self._wanted.acquire()
        for callback in _before_end:
            try:
                callback()
            except Exception:
                _log.debug("otelbot: what is open could not be ended", exc_info=True)
        for sender in self._senders:
            sender.hurry(self._senders_deadline)
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception:
                _log.debug("otelbot: a provider failed to shut down", exc_info=True)
        for sender in self._senders:
            sender.close(self._senders_deadline)
        self._done = True
        self._finished.release()

    def close(self, timeout: float) -> None:
        """Send what is held, for at most `timeout` seconds, and stop exporting. A second call waits for the first."""
        if not self.closed:
            self.closed = True
            self._deadline = time.monotonic() + timeout
            self._senders_deadline = self._deadline - min(timeout * _MARGIN, _LONGEST_MARGIN)
            self._wanted.release()
        for _ in range(2):  # the first Ctrl-C ends the program, but not the flush; the second ends that as well
            try:
                if not self._done and self._finished.acquire(timeout=max(self._deadline - time.monotonic(), 0)):
                    self._finished.release()
            except KeyboardInterrupt:
                continue
            break

    def flush(self, timeout: float) -> None:
        """Send what is held, for at most `timeout` seconds, and go on."""
        for provider in self._providers:
            provider.force_flush()
        deadline = time.monotonic() + timeout
        for sender in self._senders:
            sender.flush(deadline)

    def after_fork_in_child(self) -> None:
        if self.closed:
            self._done = True  # the parent's flush is none of the child's
            return
        self._outages.after_fork_in_child()
        for sender in self._senders:
            sender.after_fork_in_child()
        for batches in self._batches:
            batches.after_fork_in_child()
        self._start_finisher()


_pipeline: Pipeline | None = None
_signalled = False
_dying = False
_before_end: list[Callable[[], object]] = []


def before_end(callback: Callable[[], object]) -> None:
    """Have `callback` called before the last flush, in a thread, to end the spans of what the end cuts off."""
    _before_end.append(callback)


_when_working: list[Callable[[], object]] = []


def when_working(callback: Callable[[], object]) -> None:
    """Have `callback` called once this process does a bot's work, which the master of worker processes never does."""
    _when_working.append(callback)


def working() -> None:
    """Note that this process does a bot's work: asked for every update."""
    while _when_working:
        callback = _when_working.pop()
        try:
            callback()
        except Exception:
            _log.debug("otelbot: what waited for the bot's work failed", exc_info=True)


def closed() -> bool:
    """Whether the last flush has begun, so that nothing that is recorded now can be sent."""
    return _pipeline is not None and _pipeline.closed


def start(pipeline: Pipeline) -> None:
    """Have `pipeline` closed at the end of this process, and of the children that it forks."""
    global _pipeline  # noqa: PLW0603 - one process, one pipeline
    _pipeline = pipeline
    atexit.register(shutdown)
    arm_signals()
    _arm_again_when_a_loop_closes()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )


def shutdown(timeout: float | None = None) -> None:
    """Send what is held and stop exporting.

    :param timeout: seconds at most; `OTELBOT_FLUSH_TIMEOUT` when not given.
    """
    if _pipeline is not None:
        arm_signals()  # a loop that has closed put them back, and the next one would end the flush
        _pipeline.close(settings.current().flush_timeout if timeout is None else timeout)


def arm_signals() -> None:
    """Handle the deadly signals that the program leaves to their default.

    Repeated when a bot starts polling, and when an event loop closes: it sets back those that it handled.
    """
    if _pipeline is None or threading.current_thread() is not threading.main_thread():
        return
    for signum in _DEADLY:
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, _on_deadly_signal)


def _arm_again_when_a_loop_closes() -> None:
    original = asyncio.SelectorEventLoop.close

    @wraps(original)
    def close(self: Any) -> None:
        original(self)
        arm_signals()

    asyncio.SelectorEventLoop.close = close  # type: ignore[method-assign]


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Keep signals from this thread and from the threads that it starts meanwhile.

    The kernel hands a signal to any thread that does not block it: a program that blocks one, to wait for it, must not
    lose it to a thread of ours.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_deadly_signal(signum: int, _frame: FrameType | None) -> None:
    global _signalled  # noqa: PLW0603
    if _dying:
        return  # the last flush is under way, and bounded
    if os.getpid() == 1 and _pipeline is not None:
        # A container's first process does not die of a signal that it leaves to its default; what kills it is next.
        timeout = settings.current().flush_timeout
        threading.Thread(target=_pipeline.flush, args=(timeout,), name="otelbot-flush", daemon=True).start()
        return
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


class _Fork(threading.local):
    """What a thread that forks has to undo on both sides."""

    gate_held = False
    blocking: AbstractContextManager[None]


_fork = _Fork()


def _before_fork() -> None:
    # A child that is told to stop at once stops once it can flush.
    _fork.blocking = signals_blocked()
    _fork.blocking.__enter__()
    _fork.gate_held = collection_gate.acquire(timeout=1.0)


def _after_fork_in_parent() -> None:
    if _fork.gate_held:
        collection_gate.release()
    _fork.blocking.__exit__(None, None, None)


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
    _fork.blocking.__exit__(None, None, None)


def _finalize_with_multiprocessing(_pipeline: object) -> None:
    from multiprocessing.util import Finalize

    finalizer: Callable[[], None] = shutdown
    Finalize(None, finalizer, exitpriority=0)
