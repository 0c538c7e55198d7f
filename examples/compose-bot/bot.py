"""A small bot for the stack's profile `bot`: it answers, and it says nothing of telemetry."""

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.types import Message

# The health check of docker-compose.yml looks at this file's age: a loop that hangs does not touch it.
ALIVE = Path(os.environ.get("ALIVE_FILE", "/tmp/alive"))  # noqa: S108 - in a container of its own
SERVER = os.environ.get("TELEGRAM_API_URL", "https://api.telegram.org")

dp = Dispatcher()


@dp.message(CommandStart())
async def start(message: Message) -> None:
    await message.answer("Hello! Whatever you write, I say it again.")


@dp.message()
async def echo(message: Message) -> None:
    await message.answer(message.text or "I can only read text.")


async def stay_alive() -> None:
    while True:
        ALIVE.touch()  # noqa: ASYNC240 - in memory
        await asyncio.sleep(10)


async def main() -> None:
    bot = Bot(os.environ["BOT_TOKEN"], session=AiohttpSession(api=TelegramAPIServer.from_base(SERVER)))
    alive = asyncio.create_task(stay_alive())
    try:
        await dp.start_polling(bot)
    finally:
        alive.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await alive


if __name__ == "__main__":
    if not os.environ.get("BOT_TOKEN"):
        sys.exit("BOT_TOKEN is empty: write the bot's token into .env")
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
