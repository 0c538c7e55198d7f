"""Replicas of a bot count their users together, in a Redis that they share."""

from __future__ import annotations

import asyncio

import pytest
import redis

from otelbot.demo.services import redis_server
from otelbot.demo.telegram import message_update
from otelbot.instrumentation.aiogram.shared_users import SharedUsers
from tests.support import TOKEN

BOT = """
    @dp.message()
    async def echo(message):
        await message.answer("hello")

    main()
"""


async def test_users_of_several_replicas_are_counted_once():
    async with redis_server() as url:
        one, two = SharedUsers(url), SharedUsers(url)
        for user in range(3_000):
            one.add("1", user)
            two.add("1", user + 1_000)
        two.add("2", 1)
        await asyncio.to_thread(one.count)
        together = await asyncio.to_thread(two.count)
        # Two's other bot has a user of its own.
        assert together == {window: pytest.approx(4_001, rel=0.03) for window in ("5m", "1h", "24h")}
        assert await asyncio.to_thread(one.count) == {window: pytest.approx(4_000, rel=0.03) for window in together}
        client = redis.Redis.from_url(url)
        assert all(0 < client.ttl(key) < 25 * 3600 * 1.1 for key in client.scan_iter())


async def test_a_bot_counts_with_its_replicas_and_its_own_redis_figures_stay_its_own(api, otlp, run):
    async with redis_server() as url:
        await asyncio.to_thread(others, url)
        bot = await run("    import redis\n" + BOT, env={"OTELBOT_ACTIVE_USERS_REDIS_URL": url})
        api.push(TOKEN, message_update("hi", user_id=3))
        await otlp.wait_for(lambda: active(otlp).get("5m") == 3)
        assert await bot.stop() == 0
    assert "db.client.connection.count" not in otlp.metrics
    assert {span.name for span in otlp.spans} >= {"message echo"}
    assert not any("db.system.name" in span.attributes for span in otlp.spans)


async def test_without_the_redis_a_bot_counts_for_itself_and_says_so_once(api, otlp, run):
    env = {"OTELBOT_ACTIVE_USERS_REDIS_URL": "redis://:s3cr3t@127.0.0.1:1/0"}
    bot = await run(BOT, env=env)
    api.push(TOKEN, message_update("hi", user_id=3))
    await otlp.wait_for(lambda: active(otlp).get("5m") == 1)
    seen = len(otlp.requests)
    await otlp.wait_for(lambda: sum(received.signal == "metrics" for received in otlp.requests[seen:]) > 2)
    assert await bot.stop() == 0
    assert bot.stderr.count("OTELBOT_ACTIVE_USERS_REDIS_URL can't be used") == 1
    assert "s3cr3t" not in bot.stderr
    failures = otlp.metrics.get("telegram.bot.database.connection.failures")
    assert not failures or all(value == 0 for _, value, _ in failures.points)


def others(url):
    replica = SharedUsers(url)
    replica.add(TOKEN.partition(":")[0], 1)
    replica.add(TOKEN.partition(":")[0], 2)
    replica.count()


def active(otlp):
    metric = otlp.metrics.get("telegram.bot.users.active")
    return {attributes["window"]: value for attributes, value, _ in metric.points} if metric else {}
