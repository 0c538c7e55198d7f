"""Waiting for changes can always be cancelled, and says what it waited for."""

from __future__ import annotations

import asyncio

import pytest

from otelbot.demo.waiting import Changes


async def test_sees_what_is_there_and_what_comes():
    changes, seen = Changes(), ["tea"]
    assert await changes.until(lambda: seen[0], 1, "tea") == "tea"
    waiting = [asyncio.create_task(changes.until(lambda: seen[1:], 10, "more")) for _ in range(2)]
    await asyncio.sleep(0)
    changes.tell()
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    seen.append("cake")
    changes.tell()
    assert await asyncio.gather(*waiting) == [["cake"]] * 2


async def test_cancellation_together_with_a_change_is_not_lost():
    changes = Changes()
    waiting = asyncio.create_task(changes.until(lambda: None, 10, "nothing"))
    await asyncio.sleep(0)
    changes.tell()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_in_vain():
    with pytest.raises(TimeoutError, match=r"waited 0\.01 s in vain for tea"):
        await Changes().until(lambda: None, 0.01, "tea")
