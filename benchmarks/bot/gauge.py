"""What is measured inside the bot: its CPU time, how long updates take, how long the event loop stood still.

All of it is the same for every variant and costs a few microseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiogram.types import Message

_BEAT = 0.002  # seconds between two looks at the event loop


class Gauge:
    """Handlers call `turn` first of all; `mark` is the handler of `/mark`."""

    def __init__(self) -> None:
        self.metrics_port = 0  # where a variant that is scraped serves its metrics
        self._turns = array("d")
        self._last_turn = 0.0
        self._longest_stall = 0.0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._beat()

    def turn(self) -> None:
        """Note that a handler begins. From one to the next is what an update takes, all of it."""
        now = time.perf_counter()
        self._turns.append(now - self._last_turn)
        self._last_turn = now

    async def mark(self, message: Message) -> None:
        """Answer with the figures since the mark before: CPU in seconds, times in milliseconds."""
        figures = {
            "cpu_s": time.process_time(),
            "stall_ms": self._longest_stall * 1e3,
            "collections": [generation["collections"] for generation in gc.get_stats()],
            "metrics_port": self.metrics_port,
        }
        turns = sorted(self._turns[1:])  # before the first lies the wait for it
        if turns:
            figures["p50_ms"] = turns[len(turns) // 2] * 1e3
            figures["p99_ms"] = turns[len(turns) * 99 // 100] * 1e3
        await message.answer(json.dumps(figures))
        self._turns = array("d")
        self._longest_stall = 0.0
        self._due = self._loop.time() + _BEAT

    def _beat(self) -> None:
        now = self._loop.time()
        self._longest_stall = max(self._longest_stall, now - self._due)
        self._due = now + _BEAT
        self._loop.call_at(self._due, self._beat)
