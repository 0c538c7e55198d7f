"""The tea shop: an ordinary aiogram bot. Nothing in here knows of otelbot, and nothing has to."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject, CommandStart, ExceptionTypeFilter, StateFilter
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.redis import RedisStorage
from aiogram.types import BotCommand, CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from redis.asyncio import Redis

if TYPE_CHECKING:
    from aiogram.fsm.context import FSMContext
    from aiogram.methods import SendMessage
    from aiogram.types import ErrorEvent

logger = logging.getLogger("tea_shop")

TEAS = {
    "sencha": ("Morning Sencha", 640),
    "oolong": ("Cloud Oolong", 890),
    "chai": ("Harbour Chai", 520),
    "mint": ("Garden Mint", 380),
}
TABLES = """
CREATE TABLE IF NOT EXISTS teas (id text PRIMARY KEY, title text NOT NULL, price integer NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    id serial PRIMARY KEY, customer bigint NOT NULL, tea text NOT NULL REFERENCES teas,
    packs integer NOT NULL, city text NOT NULL, delivery integer NOT NULL, at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS photos (file_id text, bytes integer NOT NULL);
CREATE TABLE IF NOT EXISTS ratings (customer bigint NOT NULL, stars integer NOT NULL CHECK (stars BETWEEN 1 AND 5));
"""
CATALOG_LIVES = 5  # seconds in the cache
PACK = 100  # grams

shop = Router(name="shop")
orders = Router(name="orders")
staff = Router(name="staff")
rest = Router(name="rest")
shop.include_routers(orders, staff, rest)


class Order(StatesGroup):
    packs = State()
    city = State()
    confirm = State()


class CourierBusyError(Exception):
    """The courier's service has no quote for us."""


async def read_catalog(pool: asyncpg.Pool, cache: Redis) -> list[dict[str, Any]]:
    cached = await cache.get("catalog")
    if cached:
        logger.debug("the catalog is in the cache")
        teas: list[dict[str, Any]] = json.loads(cached)
        return teas
    rows = await pool.fetch("SELECT id, title, price FROM teas ORDER BY price")
    teas = [dict(row) for row in rows]
    await cache.set("catalog", json.dumps(teas), ex=CATALOG_LIVES)
    return teas


async def ask_courier(http: aiohttp.ClientSession, city: str, grams: int) -> int:
    async with http.get(f"/v1/quotes/{city}", params={"weight": grams}) as response:
        if response.status != 200:
            raise CourierBusyError(f"the courier answered {response.status}")
        quote = await response.json()
    return int(quote["price"])


@shop.message(CommandStart())
async def welcome(message: Message, state: FSMContext) -> None:
    await state.clear()
    await message.answer("Welcome to the tea shop! /catalog shows what we have.")


@shop.message(Command("help"))
def show_help(message: Message) -> SendMessage:
    # A sync handler: aiogram runs it in a thread, and sends the message that it returns.
    return message.answer("/catalog to order, /cancel to stop, or send us a photo of your cup.")


@shop.message(Command("catalog"))
async def show_catalog(message: Message, pool: asyncpg.Pool, cache: Redis) -> None:
    teas = await read_catalog(pool, cache)
    rows = [
        [InlineKeyboardButton(text=f"{tea['title']} {tea['price'] / 100:.2f}", callback_data=f"buy:{tea['id']}")]
        for tea in teas
    ]
    await message.answer("Our teas:", reply_markup=InlineKeyboardMarkup(inline_keyboard=rows))


@shop.message(Command("history"))
async def show_history(message: Message, pool: asyncpg.Pool) -> None:
    # As slow as where no index leads.
    orders = await pool.fetch(
        "SELECT tea, packs FROM orders, pg_sleep(0.15) WHERE customer = $1 ORDER BY at DESC LIMIT 5", message.chat.id
    )
    lines = [f"{order['packs']} x {TEAS[order['tea']][0]}" for order in orders]
    await message.answer("\n".join(lines) or "Nothing yet.")


@shop.message(Command("rate"))
async def rate(message: Message, command: CommandObject, pool: asyncpg.Pool) -> None:
    stars = int(command.args or 5)  # somebody will write a word
    await pool.execute("INSERT INTO ratings VALUES ($1, $2)", message.chat.id, stars)
    await message.answer("Thank you!")


@shop.message(Command("cancel"), StateFilter("*"))
async def cancel(message: Message, state: FSMContext) -> SendMessage:
    logger.info("order given up", extra={"state": await state.get_state()})
    await state.clear()
    return message.answer("Nothing ordered.")


@shop.message(F.photo)
async def keep_photo(message: Message, bot: Bot, pool: asyncpg.Pool) -> None:
    photo = (message.photo or [])[-1]
    content = await bot.download(photo)
    size = len(content.read()) if content else 0
    await pool.execute("INSERT INTO photos VALUES ($1, $2)", photo.file_id, size)
    await message.answer("What a lovely cup!")


@orders.callback_query(F.data.startswith("buy:"))
async def choose(callback: CallbackQuery, state: FSMContext, bot: Bot) -> None:
    await state.update_data(tea=str(callback.data).removeprefix("buy:"))
    await state.set_state(Order.packs)
    await callback.answer()
    await bot.send_message(callback.from_user.id, "How many packs?")


@orders.message(Order.packs, F.text.regexp(r"^[1-9]\d?$"))
async def take_packs(message: Message, state: FSMContext) -> None:
    await state.update_data(packs=int(message.text or 1))
    await state.set_state(Order.city)
    await message.answer("Where to?")


@orders.message(Order.packs)
async def ask_packs_again(message: Message) -> None:
    await message.answer("A number from 1 to 99, please.")


@orders.message(Order.city, F.text)
async def take_city(message: Message, state: FSMContext) -> None:
    await state.update_data(city=message.text)
    await state.set_state(Order.confirm)
    buttons = [
        InlineKeyboardButton(text="Yes", callback_data="confirm"),
        InlineKeyboardButton(text="No", callback_data="forget"),
    ]
    await message.answer("Shall we send it?", reply_markup=InlineKeyboardMarkup(inline_keyboard=[buttons]))


@orders.callback_query(Order.confirm, F.data == "confirm")
async def place_order(
    callback: CallbackQuery,
    state: FSMContext,
    bot: Bot,
    *,
    pool: asyncpg.Pool,
    cache: Redis,
    http: aiohttp.ClientSession,
) -> None:
    order = await state.get_data()
    await callback.answer("One moment")
    delivery = await ask_courier(http, order["city"], PACK * order["packs"])
    async with pool.acquire() as connection, connection.transaction():
        price = await connection.fetchval("SELECT price FROM teas WHERE id = $1", order["tea"])
        number = await connection.fetchval(
            "INSERT INTO orders (customer, tea, packs, city, delivery) VALUES ($1, $2, $3, $4, $5) RETURNING id",
            callback.from_user.id,
            order["tea"],
            order["packs"],
            order["city"],
            delivery,
        )
    await cache.incr(f"sold:{order['tea']}")
    await state.clear()
    total = (price * order["packs"] + delivery) / 100
    await bot.send_message(callback.from_user.id, f"Order {number} is on its way: {total:.2f} with delivery.")
    logger.info("order placed", extra={"packs": order["packs"]})


@orders.callback_query(F.data == "forget")
async def forget(callback: CallbackQuery, state: FSMContext) -> None:
    await state.clear()
    await callback.answer("Nothing ordered.")


@orders.errors(ExceptionTypeFilter(CourierBusyError), F.update.callback_query.as_("callback"))
async def courier_is_busy(event: ErrorEvent, callback: CallbackQuery, bot: Bot) -> None:
    logger.warning("no quote: %s", event.exception)
    await bot.send_message(callback.from_user.id, "Our courier is busy, please confirm once more.")


@staff.message(Command("report"))
async def report(message: Message, bot: Bot, pool: asyncpg.Pool) -> None:
    await bot.send_chat_action(message.chat.id, "typing")
    logger.warning("counting every order takes long")
    # Slow on purpose.
    count = await pool.fetchval("SELECT count(*) FROM orders, pg_sleep(0.8)")
    await message.answer(f"{count} orders so far.")


@staff.message(Command("crash"))
async def crash(_message: Message) -> None:
    logger.critical("no water: nobody gets tea")
    raise RuntimeError("the kettle is empty")


@rest.message()
async def anything_else(message: Message) -> SendMessage:
    return message.reply("Sorry? /help tells what I can do.")


async def on_startup(bot: Bot, pool: asyncpg.Pool) -> None:
    await pool.execute(TABLES)
    teas = [(tea, title, price) for tea, (title, price) in TEAS.items()]
    await pool.executemany("INSERT INTO teas VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", teas)
    descriptions = {"start": "Begin", "catalog": "Our teas", "help": "Help", "cancel": "Forget the order"}
    await bot.set_my_commands([BotCommand(command=name, description=text) for name, text in descriptions.items()])
    logger.info("the shop is open")


async def on_shutdown() -> None:
    logger.info("the shop is closed")


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    logger.setLevel(logging.DEBUG)
    environ = os.environ
    server = TelegramAPIServer.from_base(environ.get("BOT_API_URL", "https://api.telegram.org"))
    redis_url = environ["REDIS_URL"]
    async with (
        asyncpg.create_pool(environ["DATABASE_URL"], min_size=2, max_size=5) as pool,
        aiohttp.ClientSession(environ["QUOTES_URL"], timeout=aiohttp.ClientTimeout(total=5)) as http,
        Redis.from_url(redis_url) as cache,
        Bot(environ["BOT_TOKEN"], session=AiohttpSession(api=server)).context() as bot,
    ):
        dispatcher = Dispatcher(storage=RedisStorage.from_url(redis_url))
        dispatcher.include_router(shop)
        dispatcher.startup.register(on_startup)
        dispatcher.shutdown.register(on_shutdown)
        await dispatcher.start_polling(bot, pool=pool, cache=cache, http=http)


if __name__ == "__main__":
    asyncio.run(main())
