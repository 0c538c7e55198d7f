"""What waits between its end and a request: encoded spans or log records of one signal.

`add` and `add_later` run wherever the bot ends a span, in any thread, and a signal or a fork may interrupt them: they
take no lock. A thread joins what waits into requests and hands them to the `Sender`.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, count, repeat, starmap, tee
from operator import itemgetter
from time import sleep
from typing import TYPE_CHECKING, Any

from otelbot import privacy
from otelbot.export.encoding import export_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otelbot.export.pace import Pace
    from otelbot.export.sender import DropReason, Sender
    from otelbot.export.target import Signal

    _Item = tuple[InstrumentationScope | None, bytes]

_log = logging.getLogger("otelbot")
_scope, _encoded = itemgetter(0), itemgetter(1)  # of an item

#: Bytes of one request: receivers refuse those of many megabytes.
_LARGE = 2**20
#: Items that are encoded in one go, a tenth of a millisecond: among all that a bot does, the code for it and what it
#: needs have left the processor's caches each time, and one by one they take twice as long.
_AT_ONCE = 32
#: Seconds that one thread waits for another's handing over, which takes a millisecond.
_PATIENCE = 1.0


@dataclass(frozen=True)
class Schedule:
    """When and how much is handed over: `delay` in seconds, `batch` and `queue` in items.

    `fixed` says that a variable sets the delay, so that it stays whatever an endpoint asks for.
    """

    delay: float
    batch: int = 2048
    queue: float = math.inf
    fixed: bool = False

    @classmethod
    def from_environ(cls, signal: Signal, environ: Mapping[str, str]) -> Schedule:
        """Read `OTEL_BSP_*` for traces, `OTEL_BLRP_*` for logs. Their values are taken as checked.

        A batch is larger than the specification's 512 where nobody sets one: threads wait for the interpreter ten times
        for each request, and a busy bot's event loop pays for it. A queue that is set keeps room for four batches.
        https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
        """
        prefix, delay = ("OTEL_BSP", 5000) if signal == "traces" else ("OTEL_BLRP", 1000)

        def read(name: str) -> int | None:
            value = environ.get(f"{prefix}_{name}", "").strip()
            return int(value) if value else None

        set_delay = read("SCHEDULE_DELAY")
        queue = read("MAX_QUEUE_SIZE") or cls.queue  # set or not, bytes bound it
        return cls(
            delay=(set_delay or delay) / 1000,
            fixed=set_delay is not None,
            batch=read("MAX_EXPORT_BATCH_SIZE") or int(min(cls.batch, max(queue / 4, 1))),
            queue=queue,
        )


class Batches:
    """Collects the items of one signal. All methods may be called from any thread; none raises.

    :param resource: asked for each request, as it changes when the bot becomes known, and over a fork.
    :param max_bytes: of what waits; past it the oldest is dropped and counted.
    """

    def __init__(
        self,
        sender: Sender,
        resource: Callable[[], Resource],
        schedule: Schedule,
        max_bytes: int,
        pace: Pace | None = None,
    ) -> None:
        self._sender = sender
        self._resource = resource
        self._schedule = schedule
        self._batch = schedule.batch
        self._at_once = min(_AT_ONCE, schedule.batch)
        self._large = min(_LARGE, max_bytes // 2)
        self._max_bytes = max_bytes
        self._delay: Callable[[], float] = lambda: schedule.delay
        if pace is not None and not schedule.fixed:
            self._delay = pace.follow(schedule.delay, self._open_gate)
        self._closed = False
        self._said = False
        self._reset()

    def _reset(self) -> None:
        self._waiting: deque[_Item] = deque()
        self._bytes = 0  # of what waits
        self._later: dict[int, tuple[InstrumentationScope | None, Callable[[Any], bytes], Any]] = {}
        self._numbers = count()  # of those
        self._generation = privacy.generation  # when the oldest of it was scrubbed, or before
        #: A number that is counted up here could be by two threads at once, and a lock could be held over a fork.
        self._dropped: deque[DropReason] = deque()
        self._handing_over = threading.Lock()
        self._gate = threading.Lock()  # open when the thread is wanted before its time
        self._gate.acquire()
        # Made now: no thread can be started once the interpreter shuts down.
        name = f"otelbot-export-{self._sender.target.signal}-batches"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def after_fork_in_child(self) -> None:
        """Start anew: what waited is the parent's, and so is its thread."""
        if not self._closed:
            self._reset()

    def add(self, scope: InstrumentationScope | None, item: bytes) -> None:
        """Take one encoded item. Costs a fraction of a microsecond."""
        if self._later:
            self._encode_some()  # which came before it
        size = len(item)
        self._bytes += size  # calls nothing between reading and writing, which is where another thread could come in
        (waiting := self._waiting).append((scope, item))
        if len(waiting) >= self._batch or self._bytes >= self._large:
            self._attend()

    def add_now(self, scope: InstrumentationScope | None, encode: Callable[..., bytes], *what: Any) -> None:
        """Take what `encode(*what)` returns."""
        generation = privacy.generation
        try:
            encoded = encode(*what)
        except Exception as error:
            self.refuse(error)
        else:
            self.add(scope, encoded)
            self._scrubbed_at(generation)

    def add_later(self, scope: InstrumentationScope | None, encode: Callable[[Any], bytes], what: Any) -> None:
        """Take what `encode(what)` returns, which is asked for with that of others, or before it is handed over.

        Until then it is not counted in bytes: it should be small.
        """
        (later := self._later)[next(self._numbers)] = scope, encode, what
        if len(later) >= self._at_once:
            self._encode_some()
            if len(self._waiting) >= self._batch or self._bytes >= self._large:
                self._attend()

    def _encode_some(self) -> None:
        """Encode what waits for it, unless who calls has no room for that: then the thread will."""
        try:
            self._encode(thoroughly=False)
        except (RecursionError, MemoryError):
            with suppress(RecursionError):
                self._open_gate()

    def _encode(self, *, thoroughly: bool) -> None:
        """Encode what `add_later` took.

        Should two threads do so at once, or a signal's handler in the middle, each encodes all of it, and who is ready
        first takes it over.

        :param thoroughly: an item is refused for whatever comes of it; else the end of stack or memory is raised.
        """
        later, waiting, generation = self._later, self._waiting, privacy.generation
        encoded: dict[int, _Item] = {}
        for number, (scope, encode, what) in later.copy().items():
            try:
                encoded[number] = scope, encode(what)
            except Exception as error:
                if not thoroughly and isinstance(error, RecursionError | MemoryError):
                    raise
                if later.pop(number, None):
                    self.refuse(error)
        # No line of Python runs between the removal from one and the appearance in the other: nothing comes in between.
        taken, again = tee(map(later.pop, encoded, repeat(None)))
        waiting.extend(compress(encoded.values(), taken))
        size = sum(compress(map(len, map(_encoded, encoded.values())), again))
        if later is self._later:  # this is not a child that was forked meanwhile
            self._bytes += size  # see `add`
            self._scrubbed_at(generation)

    def _scrubbed_at(self, generation: int) -> None:
        """Note that something was added which was scrubbed when `privacy.generation` was `generation`."""
        # It is older where another secret has become known meanwhile, and what waited was handed over.
        self._generation = min(self._generation, generation)

    def _attend(self) -> None:
        if self._closed:
            self.hand_over()  # to a sender that counts it as undelivered, unless it still takes something
            return
        with suppress(IndexError):
            while self._bytes > self._max_bytes or len(self._waiting) > self._schedule.queue:
                _, oldest = self._waiting.popleft()
                size = len(oldest)
                self._bytes -= size
                self._dropped.append("queue_full")
        self._open_gate()

    def _open_gate(self) -> None:
        if self._gate.locked():
            with suppress(RuntimeError):  # another thread was faster
                self._gate.release()

    def refuse(self, error: Exception, items: int = 1) -> None:
        """Count what could not be encoded, and say so once."""
        self._dropped.extend(["refused"] * items)
        if not self._said:
            self._said = True
            with suppress(Exception):
                _log.warning(
                    "otelbot: some of the %s can't be encoded (%s): dropped, and counted in otelbot.export.dropped",
                    self._sender.target.signal,
                    type(error).__name__,
                )

    def _run(self) -> None:
        while not self._closed:
            self._gate.acquire(timeout=self._delay())
            self.hand_over()

    def hand_over(self) -> None:
        """Give everything that waits to the sender."""
        # The lock only keeps the last requests from being made while the sender closes. A thread that a signal
        # interrupts may hold it for ever: popping is safe without it.
        self._encode(thoroughly=True)
        held = self._handing_over.acquire(timeout=_PATIENCE)
        generation, self._generation = self._generation, privacy.generation
        try:
            while items := self._next():
                sleep(0)  # lets the bot's thread in, which would wait for a millisecond and more
                self._submit(items, generation)
            for reason, count in self._count_dropped().items():
                self._sender.drop(reason, count)
        finally:
            if held:
                self._handing_over.release()

    def _next(self) -> list[_Item]:
        """Return what makes the next request, the oldest first."""
        waiting, size = self._waiting, 0
        items: list[_Item] = []
        with suppress(IndexError):  # what was taken before it is empty stays among the items
            if self._bytes < _LARGE:  # whatever they are, they are one request
                items.extend(starmap(waiting.popleft, repeat((), self._batch)))
            else:
                while len(items) < self._batch and size < _LARGE:
                    items.append(waiting.popleft())
                    size += len(items[-1][1])
        size = sum(map(len, map(_encoded, items)))
        self._bytes -= size
        return items

    def _count_dropped(self) -> Counter[DropReason]:
        counts: Counter[DropReason] = Counter()
        with suppress(IndexError):
            while True:
                counts[self._dropped.popleft()] += 1
        return counts

    def _submit(self, items: list[_Item], generation: int) -> None:
        try:
            request = self._join(items)
        except Exception as error:
            self.refuse(error, len(items))
        else:
            sleep(0)
            self._sender.submit(request, len(items), generation)

    def _join(self, items: list[_Item]) -> bytes:
        if len(set(map(id, map(_scope, items)))) == 1:
            return export_request(self._resource(), [(items[0][0], list(map(_encoded, items)))])
        groups: dict[InstrumentationScope | None, list[bytes]] = {}
        by_identity: dict[int, list[bytes]] = {}  # the same few objects, whose comparison takes microseconds
        for scope, item in items:
            group = by_identity.get(id(scope))
            if group is None:
                group = by_identity[id(scope)] = groups.setdefault(scope, [])
            group.append(item)
        return export_request(self._resource(), groups.items())

    def close(self) -> None:
        """Hand over what waits. What comes later goes to the sender at once."""
        self._closed, self._large, self._at_once = True, 0, 1  # so that whatever comes is attended to
        self.hand_over()
        self._open_gate()  # lets the thread end
