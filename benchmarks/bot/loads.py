"""What the bot does with an update: one handler a load, and for the soak a small shop."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING

from aiogram.filters import Command
from aiogram.fsm.state import State, StatesGroup
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiogram import Dispatcher
    from aiogram.fsm.context import FSMContext
    from aiogram.types import CallbackQuery, Message
    from asyncpg import Pool
    from redis.asyncio import Redis

    from benchmarks.bot.gauge import Gauge

SCHEMA = """
CREATE TABLE IF NOT EXISTS teas (id integer PRIMARY KEY, name text NOT NULL, price integer NOT NULL);
INSERT INTO teas SELECT id, 'Tea ' || id, 100 + id FROM generate_series(1, 100) AS id ON CONFLICT DO NOTHING;
"""
_QUERY = "SELECT name, price FROM teas WHERE id = $1"
_COMMANDS = ("start", "help", "menu", "buy", "cart", "orders", "pay", "settings")


class Seller(BaseModel):
    id: int
    name: str
    city: str


class Record(BaseModel):
    id: int
    title: str
    price: float
    tags: list[str]
    seller: Seller
    created: datetime


class Page(BaseModel):
    records: list[Record]


_PAGE = json.dumps(
    {
        "records": [
            {
                "id": number,
                "title": f"Tea number {number}",
                "price": 1.5 * number,
                "tags": ["tea", f"tag{number % 7}"],
                "seller": {"id": number % 20, "name": f"Seller {number % 20}", "city": "Shiraz"},
                "created": "2026-01-01T12:00:00Z",
            }
            for number in range(300)
        ]
    }
)


class Order(StatesGroup):
    choosing = State()


async def handler(message: Message, gauge: Gauge) -> None:  # noqa: ARG001 - a handler's signature
    """Nothing but the turn itself."""
    gauge.turn()


async def api(message: Message, gauge: Gauge) -> None:
    """Answer the message: one Bot API call."""
    gauge.turn()
    await message.answer("Hello! What tea would you like?")


async def db(message: Message, gauge: Gauge, pool: Pool, redis: Redis) -> None:
    """One PostgreSQL query, one SET and one GET of Redis, one Bot API call."""
    gauge.turn()
    tea = await pool.fetchrow(_QUERY, message.message_id % 100 + 1)
    await redis.set("last", tea["name"])
    name = await redis.get("last")
    await message.answer(f"{name!r} is {tea['price']}")


async def page(message: Message, gauge: Gauge) -> None:
    """Parse a page of 300 records and answer with the cheapest."""
    gauge.turn()
    records = Page.model_validate_json(_PAGE).records
    cheapest = min(records, key=lambda record: record.price)
    await message.answer(f"{cheapest.title} of {len(records)}")


async def shop(message: Message, gauge: Gauge, pool: Pool, redis: Redis, state: FSMContext) -> None:
    """Do all that a bot does; one update in about three hundred fails."""
    if message.message_id % 307 == 0:
        gauge.turn()
        raise LookupError("this tea is sold out")
    await db(message, gauge, pool, redis)
    await state.set_state(Order.choosing if message.message_id % 2 else None)


async def pressed(callback: CallbackQuery, gauge: Gauge) -> None:
    gauge.turn()
    await callback.answer("Added")


def _soak(dispatcher: Dispatcher) -> None:
    for command in _COMMANDS:
        dispatcher.message.register(shop, Command(command))
    dispatcher.message.register(api)
    dispatcher.callback_query.register(pressed)


def _only(handle: Callable[..., object]) -> Callable[[Dispatcher], None]:
    def register(dispatcher: Dispatcher) -> None:
        dispatcher.message.register(handle, Command("start"))

    return register


HANDLERS: dict[str, Callable[[Dispatcher], None]] = {
    "api": _only(api),
    "db": _only(db),
    "page": _only(page),
    "handler": _only(handler),
    "soak": _soak,
}
