"""The event loop: how late it is, how busy, how many tasks it has, and what held it up.

A beat on the loop, by `call_later`, measures on asyncio and uvloop alike; a thread notices when a beat is overdue, and
looks at the loop's thread while whatever blocks it is still there to be named.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import tokenize  # noqa: F401 - linecache imports it when it is first asked: not in a thread, see export/connection.py
import traceback
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from opentelemetry import metrics
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.metrics import Observation
from opentelemetry.trace import set_span_in_context

from otelbot import __version__, settings, signals
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from opentelemetry.metrics import CallbackOptions
    from opentelemetry.trace import Span

_log = logging.getLogger("otelbot")

_BEAT = 0.1  # seconds
_TASKS_EVERY = 50  # beats; counting tasks walks over all of them
_SHORTEST_LOOK = 0.02  # seconds from one look at a loop that is late to the next
_GRACE = 0.005  # seconds that a beat may be later than the threshold: looking just before it comes means to look again
_STARVED = 0.1  # seconds that the looking thread itself is late by when everything is
_QUIET = 60.0  # seconds until the same function is worth another word
_FRAMES = 25  # of a stack that are kept

#: Of other instrumentations: which span a frame works for, so that what blocks is found in its trace.
span_finders: list[Callable[[FrameType], Span | None]] = []


@dataclass
class _Block:
    """What was seen while a beat was overdue."""

    function: str
    stack: str
    span: Span | None


class Loop:
    """One running event loop. `beat` runs in its thread, everything else may be called from any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monitor: Monitor) -> None:
        self.reference = ref(loop)
        self._monitor = monitor
        self.thread = threading.get_ident()
        self.tasks = 0
        self._beats = 0
        self.expected = loop.time() + _BEAT
        self.cpu = self.busy_from = time.thread_time()
        self.at = self.wall_from = time.monotonic()
        self.block: _Block | None = None
        self._context = Context()  # not that of the update which happens to be handled now
        loop.call_later(_BEAT, self.beat, context=self._context)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, or None when it is gone, stopped or closed."""
        loop = self.reference()
        return loop if loop is not None and loop.is_running() else None

    def beat(self) -> None:
        loop = self.reference()
        if loop is None or not self._monitor.has(self):
            return  # it had stopped in between, and is watched anew when it works
        now = loop.time()
        late = max(now - self.expected, 0.0)
        self.cpu, self.at = time.thread_time(), time.monotonic()
        if self._beats % _TASKS_EVERY == 0:
            self.tasks = len(asyncio.all_tasks(loop))
        self._beats += 1
        self.expected = now + _BEAT
        loop.call_later(_BEAT, self.beat, context=self._context)
        block, self.block = self.block, None
        self._monitor.note(late, block)

    def overdue(self) -> float:
        """Return for how many seconds the next beat has been overdue."""
        loop = self.loop
        return 0.0 if loop is None else loop.time() - self.expected

    def utilization(self) -> float:
        """Return which share of the time since the last call the loop's thread was on a processor."""
        busy, wall = self.cpu - self.busy_from, self.at - self.wall_from
        self.busy_from, self.wall_from = self.cpu, self.at
        return min(max(busy / wall, 0.0), 1.0) if wall > 0 else 0.0


class Monitor:
    """Watches the loops of this process."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._loops: list[Loop] = []
        self._said: dict[str, float] = {}
        self._after_fork_in_child()
        meter = metrics.get_meter(signals.SCOPE, __version__)
        self._lag = create(meter, signals.LOOP_LAG)
        self._blocked = create(meter, signals.LOOP_BLOCKED)
        create(meter, signals.LOOP_UTILIZATION, self._observe_utilization)
        create(meter, signals.LOOP_TASKS, self._observe_tasks)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._loops.clear()
        self._looking = False

    def watches(self, loop: asyncio.AbstractEventLoop) -> bool:
        for watched in self._loops:  # noqa: SIM110 - asked for every update, and `any` takes twice as long
            if watched.reference() is loop:
                return True
        return False

    def has(self, watched: Loop) -> bool:
        return any(each is watched for each in self._loops)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a running loop, from its own thread."""
        self._blocked.add(0)  # so that the first one is seen
        with self._lock:
            self._loops.append(Loop(loop, self))
            start, self._looking = not self._looking, True
        if start:
            threading.Thread(target=self._look, name="otelbot-loop-monitor", daemon=True).start()

    def _look(self) -> None:
        overdue = 0.0
        while True:
            # Until the first loop can be late enough: while all is well, that is once in two beats.
            pause = max(self._threshold + _GRACE - overdue, _SHORTEST_LOOK)
            began = time.monotonic()
            time.sleep(pause)
            starved = time.monotonic() - began - pause > _STARVED  # everything is late then, and nothing is to blame
            with self._lock:
                self._loops[:] = [watched for watched in self._loops if watched.loop is not None]
                if not self._loops:
                    self._looking = False
                    return
                loops = self._loops.copy()
            overdue = -_BEAT
            for watched in loops:
                expected, late = watched.expected, watched.overdue()
                if late >= self._threshold and watched.block is None and not starved:
                    watched.block = _seen(watched, expected)
                overdue = max(overdue, late)

    @never_raises
    def note(self, late: float, block: _Block | None) -> None:
        span = block.span if block is not None else None
        self._lag.record(late, span=span)
        if late < self._threshold:
            return
        self._blocked.add(1, span=span)
        if block is None:
            return
        now = time.monotonic()
        if now - self._said.get(block.function, -_QUIET) < _QUIET:
            return
        if len(self._said) > 1000:
            self._said.clear()
        self._said[block.function] = now
        _say(late, block)

    def _observe_utilization(self, _options: CallbackOptions) -> Iterable[Observation]:
        running = [watched.utilization() for watched in list(self._loops)]
        return [Observation(max(running))] if running else []

    def _observe_tasks(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(sum(watched.tasks for watched in list(self._loops)))] if self._loops else []


@never_raises
def _seen(watched: Loop, expected: float) -> _Block | None:
    """Look at what a loop's thread does right now, and note it on the span that it works for.

    :param expected: when the beat was due that has not come; another time means that the block ended meanwhile.
    """
    frame = sys._current_frames().get(watched.thread)  # noqa: SLF001 - the documented way to look at another thread
    if frame is None:
        return None
    frames: list[FrameType] = []
    span: Span | None = None
    current: FrameType | None = frame
    while current is not None:
        frames.append(current)
        span = span or next(filter(None, (find(current) for find in span_finders)), None)
        current = current.f_back
    culprit = next((each for each in frames if _is_the_bots(each)), frame)
    stack = "".join(traceback.format_list(traceback.StackSummary.extract(_walk(frames), lookup_lines=True)))
    block = _Block(_name(culprit), stack, span)
    if watched.expected != expected:
        return None
    if span is not None and span.is_recording():
        span.add_event(signals.BLOCKED_EVENT, _attributes(block))
    return block


def _walk(frames: list[FrameType]) -> Iterable[tuple[FrameType, int]]:
    return [(frame, frame.f_lineno) for frame in reversed(frames[:_FRAMES])]


def _is_the_bots(frame: FrameType) -> bool:
    """Whether a frame is of the bot's own code: neither Python's, nor a library's, nor ours."""
    path = frame.f_code.co_filename
    return not (path.startswith((_STANDARD_LIBRARY, _OURS, "<")) or "site-packages" in path or "dist-packages" in path)


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - compared as text, often
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep + "instrumentation"  # noqa: PTH100, PTH120


def _name(frame: FrameType) -> str:
    code: Any = frame.f_code
    function = getattr(code, "co_qualname", code.co_name)  # Python 3.11 has the qualified name
    return f"{frame.f_globals.get('__name__', '?')}.{function.rpartition('<locals>.')[2]}"


def _attributes(block: _Block) -> dict[str, Any]:
    return {signals.CODE_FUNCTION_NAME: block.function, "code.stacktrace": block.stack}


def _say(late: float, block: _Block) -> None:
    """Send a log record, past the bot's console: how it logs is its own affair."""
    record = LogRecord(
        timestamp=time.time_ns(),
        context=set_span_in_context(block.span) if block.span is not None else None,
        severity_text="WARN",
        severity_number=SeverityNumber.WARN,
        body=f"the event loop was blocked for {late:.2f} s by {block.function}",
        attributes={**_attributes(block), "duration": late},
        event_name=signals.BLOCKED_EVENT,
    )
    get_logger(signals.SCOPE, __version__).emit(record)


_monitor: Monitor | None = None


def instrument() -> None:
    global _monitor  # noqa: PLW0603 - one process, one monitor
    _monitor = Monitor(settings.current().loop_blocked_threshold)


def watch() -> None:
    """Watch the loop that runs in this thread. Asked for every update, so it is cheap for one that is known."""
    if _monitor is None:
        return
    loop = asyncio.get_running_loop()
    if not _monitor.watches(loop):
        _watch(_monitor, loop)


@never_raises
def _watch(monitor: Monitor, loop: asyncio.AbstractEventLoop) -> None:
    monitor.watch(loop)
