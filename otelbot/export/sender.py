"""A bounded queue of encoded batches and the thread that sends them.

Callers never wait for the network. What the endpoint can't take now is kept and tried again, with growing pauses,
until the queue is full; then the oldest goes and is counted. One sender serves one signal, so that an endpoint that
hangs for one does not hold up the others.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from otelbot import privacy
from otelbot.export.connection import Connection, Verdict

if TYPE_CHECKING:
    from otelbot.export.outages import Outages
    from otelbot.export.pace import Pace
    from otelbot.export.target import Target

DropReason = Literal["queue_full", "refused", "undelivered"]

_jitter = random.Random()  # noqa: S311 - of its own: a bot's seeds and draws are not touched
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds
_LONGEST_RETRY_AFTER = 300.0
#: While the program ends: an endpoint that failed last time gets this long, not the whole bound.
_LAST_CHANCE = 1.0


class Batch(NamedTuple):
    payload: bytes
    items: int
    generation: int  # of the secrets that were known when the first of it was scrubbed


class Sender:
    """Sends the batches of one signal in order. All methods may be called from any thread; none raises."""

    def __init__(self, target: Target, outages: Outages, max_bytes: int, pace: Pace | None = None) -> None:
        self.target = target
        self._outages = outages
        self._pace = pace
        self._max_bytes = max_bytes
        self.sent = 0
        self.dropped: Counter[DropReason] = Counter()
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Batch] = deque()
        self._queued_bytes = 0
        self._sending: Batch | None = None
        self._deadline: float | None = None  # set while somebody waits for the queue to drain
        self._gave_up = False
        self._failing = False
        self._closed = False
        # Started now: no thread can be started once the interpreter shuts down, which may be at the first batch.
        threading.Thread(target=self._run, name=f"otelbot-export-{self.target.signal}", daemon=True).start()

    def after_fork_in_child(self) -> None:
        """Start anew: the thread and the connection stayed with the parent, which sends what was queued."""
        self.sent = 0
        self.dropped.clear()
        self._reset()

    def submit(self, payload: bytes, items: int, generation: int) -> None:
        """Queue one encoded request of `items` spans, data points or records. Returns at once.

        :param generation: `privacy.generation` when the first of it was scrubbed.
        """
        with self._changed:
            if self._closed:
                self.dropped["undelivered"] += items
                return
            self._queue.append(Batch(payload, items, generation))
            self._queued_bytes += len(payload)
            while self._queued_bytes > self._max_bytes and len(self._queue) > 1:
                oldest = self._queue.popleft()
                self._queued_bytes -= len(oldest.payload)
                self.dropped["queue_full"] += oldest.items
            self._changed.notify_all()

    def drop(self, reason: DropReason, items: int) -> None:
        """Count items that did not become a request."""
        with self._changed:
            self.dropped[reason] += items

    def hurry(self, deadline: float) -> None:
        """Let attempts and pauses from now on fit into the time up to `deadline` (by `time.monotonic()`)."""
        with self._changed:
            self._deadline, self._gave_up = deadline, False
            self._changed.notify_all()

    def flush(self, deadline: float) -> bool:
        """Wait until everything queued is sent, an unreachable endpoint makes that hopeless, or `deadline` passes.

        :param deadline: by `time.monotonic()`.
        :returns: whether nothing is left.
        """
        self.hurry(deadline)
        with self._changed:
            while (self._queue or self._sending) and not self._gave_up:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    break
            self._deadline = None
            return not (self._queue or self._sending)

    def close(self, deadline: float) -> None:
        """Flush, then stop for good and count what is left as undelivered. Never waits beyond `deadline`."""
        self.flush(deadline)
        with self._changed:
            self._closed = True
            left = sum(batch.items for batch in self._queue) + (self._sending.items if self._sending else 0)
            self._queue.clear()
            self._queued_bytes = 0
            if left:
                self.dropped["undelivered"] += left
            self._changed.notify_all()
        if left:
            self._outages.undelivered(self.target, left)

    def _run(self) -> None:
        from opentelemetry import context

        # Whatever instruments urllib3 in this process must not trace the export itself.
        context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: SLF001
        connection = Connection(self.target)
        pause = _FIRST_PAUSE
        while (batch := self._next()) is not None:
            payload = batch.payload if batch.generation == privacy.generation else privacy.overwrite(batch.payload)
            verdict = connection.post(payload, self._timeout())
            if self._settle(batch, verdict):
                pause = _FIRST_PAUSE
                continue
            wanted = pause if verdict.retry_after is None else min(verdict.retry_after, _LONGEST_RETRY_AFTER)
            self._pause(wanted * _jitter.uniform(0.8, 1.2), verdict)
            pause = min(pause * 2, _LONGEST_PAUSE)
        connection.close()

    def _next(self) -> Batch | None:
        with self._changed:
            while self._sending is None:
                if self._closed:
                    return None
                if self._queue:
                    self._sending = self._queue.popleft()
                    self._queued_bytes -= len(self._sending.payload)
                else:
                    self._changed.wait()
            return None if self._closed else self._sending

    def _timeout(self) -> float:
        with self._changed:
            if self._deadline is None:
                return self.target.timeout
            remaining = self._deadline - time.monotonic()
            return max(min(remaining, _LAST_CHANCE if self._failing else remaining, self.target.timeout), 0.05)

    def _settle(self, batch: Batch, verdict: Verdict) -> bool:
        """Account for one attempt; returns whether the batch is done with."""
        done = verdict.accepted or not verdict.retry
        with self._changed:
            if self._closed:
                return True
            self._failing = not done
            if verdict.accepted:
                self.sent += batch.items - verdict.rejected
            if done:
                self.dropped["refused"] += verdict.rejected if verdict.accepted else batch.items
                self._sending = None
                self._changed.notify_all()
        if verdict.interval is not None and self._pace is not None:
            self._pace.ask(verdict.interval)
        if verdict.accepted:
            self._outages.accepted(self.target, verdict.rejected)
        elif done:
            self._outages.refused(self.target, verdict.why)
        else:
            self._outages.failed(self.target, verdict.why, self._max_bytes)
        return done

    def _pause(self, seconds: float, verdict: Verdict) -> None:
        """Wait before the next attempt. Somebody who flushes has it made at once, or is told that it is hopeless."""
        with self._changed:
            failed_while_flushing = self._deadline is not None
            if failed_while_flushing:
                seconds = min(seconds, 0.2)
            until = time.monotonic() + seconds
            while not self._closed and (remaining := until - time.monotonic()) > 0:
                if self._deadline is not None and not failed_while_flushing:
                    return
                if self._deadline is not None and verdict.unreachable:
                    self._gave_up = True
                    self._changed.notify_all()
                self._changed.wait(remaining)
