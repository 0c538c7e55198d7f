"""Many who ask for the same."""

from __future__ import annotations

import asyncio

import pytest

from otelbot.dashboard.api.shared import Shared


async def test_many_who_ask_at_once_cost_one_answer():
    made = []

    async def make():
        await asyncio.sleep(0)
        made.append(1)
        return len(made)

    shared = Shared()
    assert await asyncio.gather(*(shared.get("page", 60, make) for _ in range(50))) == [1] * 50
    assert await shared.get("another", 60, make) == 2


async def test_an_answer_grows_old():
    clock = [0.0]
    shared = Shared(lambda: clock[0])
    answers = iter([1, 2, 3])

    async def make():
        return next(answers)

    assert [await shared.get("page", 2, make), await shared.get("page", 2, make)] == [1, 1]
    clock[0] = 2.5
    assert await shared.get("page", 2, make) == 2
    shared.forget()
    assert await shared.get("page", 2, make) == 3


async def test_a_failure_is_not_kept():
    async def fail():
        raise ValueError("no")

    async def make():
        return 1

    shared = Shared()
    with pytest.raises(ValueError, match="no"):
        await shared.get("page", 60, fail)
    assert await shared.get("page", 60, make) == 1


async def test_who_goes_away_takes_nothing_from_the_others():
    ready = asyncio.Event()

    async def make():
        await ready.wait()
        return 1

    shared = Shared()
    gone = asyncio.ensure_future(shared.get("page", 60, make))
    stays = asyncio.ensure_future(shared.get("page", 60, make))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    ready.set()
    assert await stays == 1


async def test_the_number_of_answers_is_bounded():
    shared = Shared()

    async def make():
        return 1

    for number in range(1000):
        await shared.get(number, 60, make)
    assert len(shared._made) <= 200
