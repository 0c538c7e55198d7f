"""How a pool is asked whether its server is there, by a connection of the pool.

A pool whose connections are all in use may have a server that is well. So where none is to be had, a connection of its
own is made as the pool would make it: if that one is answered, the pool is exhausted, which is degraded; else the
server is away.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from otelbot.health.checks import Degraded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otelbot.instrumentation.pools import State

_WAIT = 1.0  # seconds for a connection of a pool that has none to spare
_LONG_WAIT = 3.0  # for one of another pool, which may have to be made
_TOO_MANY_CONNECTIONS = "53300"  # PostgreSQL's state of a server that is there and full
_QUERY = "SELECT 1"


def _exhausted(state: State | None) -> bool:
    return state is not None and state.limit is not None and state.used >= state.limit


def _degraded(state: State | None) -> Degraded:
    limit = f"{state.limit} " if state is not None and state.limit is not None else ""
    return Degraded(f"the server answers, but all {limit}connections of the pool are in use")


def asyncpg_query(pool: Any, read: Callable[[], State | None]) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        state = read()
        try:
            connection = await pool.acquire(timeout=_WAIT if _exhausted(state) else _LONG_WAIT)
        except asyncio.TimeoutError:
            state = read()
            if not _exhausted(state):
                raise
            await _query_anew(pool)
            raise _degraded(state) from None
        try:
            await connection.execute(_QUERY)
        except asyncio.CancelledError:
            connection.terminate()  # one that does not answer is of no use to the bot, and could hold us for long
            raise
        finally:
            await pool.release(connection)

    return ask


async def _query_anew(pool: Any) -> None:
    try:
        connection = await pool._get_new_connection()  # noqa: SLF001 - with what the pool was made with
    except Exception as error:
        if getattr(error, "sqlstate", None) == _TOO_MANY_CONNECTIONS:
            return
        raise
    try:
        await connection.execute(_QUERY)
    finally:
        connection.terminate()


def engine_query(engine: Any, read: Callable[[], State | None]) -> Callable[[], Any]:
    """Return a coroutine function for an asynchronous engine, a plain one for others."""

    def ask() -> None:
        state = read()
        if _exhausted(state):
            _connect_anew(engine)
            raise _degraded(state)
        try:
            _select(engine)
        except Exception as error:
            # A connection that broke while it was idle: SQLAlchemy has thrown the others away, and makes new ones.
            if not getattr(error, "connection_invalidated", False):
                raise
            _select(engine)

    async def ask_async() -> None:
        await sys.modules["sqlalchemy.util"].greenlet_spawn(ask)

    return ask_async if engine.dialect.is_async else ask


def _select(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(sys.modules["sqlalchemy"].select(1))  # as the dialect says it


def _connect_anew(engine: Any) -> None:
    pool = engine.pool.recreate()  # empty, and connects as the other does
    try:
        connection = pool.connect()
    except Exception as error:
        if getattr(error, "sqlstate", getattr(error, "pgcode", None)) == _TOO_MANY_CONNECTIONS:
            return
        raise
    try:
        cursor = connection.cursor()
        cursor.execute(_QUERY)
        cursor.close()
    finally:
        connection.close()
        pool.dispose()


def redis_ping(pool: Any, read: Callable[[], State | None]) -> Callable[[], Awaitable[None]]:
    async def ping() -> None:
        state = read()
        if _exhausted(state) and not state.idle:  # type: ignore[union-attr]
            await _ping_anew(pool)
            raise _degraded(state)
        await sys.modules["redis.asyncio"].Redis(connection_pool=pool).ping()

    return ping


async def _ping_anew(pool: Any) -> None:
    connection = pool.make_connection()
    try:
        await connection.connect()
        await connection.send_command("PING")
        await connection.read_response()
    finally:
        await connection.disconnect()
