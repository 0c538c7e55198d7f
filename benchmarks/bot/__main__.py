"""The same bot for every variant: `python -m benchmarks.bot --load LOAD --telemetry NAME --api URL …`.

An update `/mark` is answered with the figures since the mark before, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

import asyncpg
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.fsm.storage.redis import RedisStorage
from redis.asyncio import Redis

from benchmarks.bot import loads, telemetry
from benchmarks.bot.gauge import Gauge

TOKEN = "123456789:AAF-benchmarks_of_otelbot_0123456789"  # noqa: S105 - nobody's


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", choices=loads.HANDLERS, required=True)
    parser.add_argument("--telemetry", choices=telemetry.KINDS, required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--postgres")
    parser.add_argument("--redis")
    options = parser.parse_args()
    # As in aiogram's own examples: one line for each update.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    asyncio.run(run(options))


async def run(options: argparse.Namespace) -> None:
    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(options.api)))
    gauge = Gauge()
    # The memory storage keeps a record for each user, which the soak would take for a leak.
    storage = RedisStorage.from_url(options.redis) if options.load == "soak" else None
    dispatcher = Dispatcher(storage=storage, gauge=gauge)
    dispatcher.message.register(gauge.mark, Command("mark"))
    loads.HANDLERS[options.load](dispatcher)

    async def open_services() -> None:
        gauge.start()
        if options.postgres:
            dispatcher["pool"] = pool = await asyncpg.create_pool(options.postgres, min_size=4, max_size=4)
            await pool.execute(loads.SCHEMA)
        if options.redis:
            dispatcher["redis"] = Redis.from_url(options.redis)

    async def close_services() -> None:
        if options.postgres:
            await dispatcher["pool"].close()
        if options.redis:
            await dispatcher["redis"].aclose()

    dispatcher.startup.register(open_services)
    dispatcher.shutdown.register(close_services)
    telemetry.KINDS[options.telemetry](dispatcher, bot, gauge)
    # One update at a time, each in a task of its own: a turn is what one update costs, without a queue before it.
    await dispatcher.start_polling(bot, tasks_concurrency_limit=1)


if __name__ == "__main__":
    main()
