"""What checks of health there are in this process: one for each pool of a database, for Redis, Telegram and the loop.

`otelbot.health` runs them and knows nothing of the libraries. They ask with the bot's own clients, on the loop that
these work on, and no library is imported for it: what is not in `sys.modules` is not used.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from otelbot.health import loops
from otelbot.health.checks import Check, Degraded, Failed
from otelbot.health.texts import said_of
from otelbot.instrumentation.health_databases import asyncpg_query, engine_query, redis_ping
from otelbot.instrumentation.patching import never_raises
from otelbot.instrumentation.pools import pool_name, pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otelbot.instrumentation.pools import State

_MOST_BOTS = 20  # that are asked for; of more, those that were seen last
_MOST_POOLS = 20

#: By id, for as long as somebody else holds them: the bot, and the loop that it was used on.
_bots: dict[int, tuple[ref[Any], ref[asyncio.AbstractEventLoop]]] = {}
_last: tuple[Callable[[], Any], Callable[[], Any]] = (lambda: None, lambda: None)


def saw_bot(bot: Any) -> None:
    """Note that `bot` is used on the loop that runs. Asked for every update, so it is cheap for the same as before."""
    loop = asyncio.get_running_loop()
    if _last[0]() is not bot or _last[1]() is not loop:
        _note(bot, loop)


@never_raises
def _note(bot: Any, loop: asyncio.AbstractEventLoop) -> None:
    global _last  # noqa: PLW0603
    try:
        _last = ref(bot), ref(loop)
    except TypeError:
        return  # no Bot, but what stands for one in a test
    loops.note(loop)
    _bots.pop(bot.id, None)
    while len(_bots) >= _MOST_BOTS:
        del _bots[next(iter(_bots))]
    _bots[bot.id] = _last


def telegram() -> Iterable[Check]:
    """Yield the check that asks the Bot API for each bot that was used."""
    asked = []
    for bot_ref, loop_ref in list(_bots.values()):
        bot, loop = bot_ref(), loop_ref()
        if bot is not None and loop is not None and loops.runs(loop):
            asked.append((bot, loop))
    if not asked:
        return

    async def get_me() -> None:
        # Through the session, and not through its middlewares: they are the bot's, and so are their spans.
        outcomes = await asyncio.gather(*(_on(loop, _get_me, bot) for bot, loop in asked), return_exceptions=True)
        failed = [
            (bot, error) for (bot, _), error in zip(asked, outcomes, strict=True) if isinstance(error, BaseException)
        ]
        failed.sort(key=lambda each: isinstance(each[1], Degraded))
        for bot, error in failed:
            if len(asked) == 1:
                raise error
            text = f"bot {bot.id}: {error if isinstance(error, Degraded) else said_of(error)}"
            raise (Degraded if isinstance(error, Degraded) else Failed)(text)

    yield Check("telegram", get_me, timeout=_TELEGRAM, at_most_every=60.0, loop=asked[-1][1])


_TELEGRAM = 10.0  # seconds


async def _get_me(bot: Any) -> None:
    method = sys.modules["aiogram.methods"].GetMe()
    try:
        await bot.session.make_request(bot, method, timeout=int(_TELEGRAM))
    except Exception as error:
        if type(error).__name__ == "TelegramRetryAfter":
            raise Degraded("Telegram asks to slow down") from None
        raise


async def _on(loop: asyncio.AbstractEventLoop, ask: Callable[[Any], Any], what: Any) -> None:
    if loop is asyncio.get_running_loop():
        await ask(what)
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(what), loop))


def event_loops() -> Iterable[Check]:
    """Yield a check for each loop that the bot works on: that it comes to do what it is given."""

    async def come_back() -> None:
        return

    for number, loop in enumerate(loops.running(), 1):
        yield Check("event_loop" if number == 1 else f"event_loop:{number}", come_back, timeout=2.0, loop=loop)


def databases() -> Iterable[Check]:
    """Yield a check for each pool of asyncpg's and each engine of SQLAlchemy's."""
    found: list[tuple[str, Callable[[], Any], asyncio.AbstractEventLoop | None]] = []
    for pool, read in _found():
        if _is_a(pool, "asyncpg.pool", "Pool"):
            state = read()
            # One that is inherited from the process that this one was forked from has its loop there.
            if state is not None and not pool.is_closing() and loops.runs(pool._loop):  # noqa: SLF001
                found.append((state.name, asyncpg_query(pool, read), pool._loop))  # noqa: SLF001
        elif _is_a(pool, "sqlalchemy.engine.base", "Engine") and not _in_memory(pool):
            found.extend(_engine(pool, read))
    del found[_MOST_POOLS:]
    names = Counter(name for name, _, _ in found)
    numbers: Counter[str] = Counter()
    for name, run, loop in found:
        numbers[name] += 1
        number = f"#{numbers[name]}" if names[name] > 1 else ""
        yield Check("database" if len(found) == 1 else f"database:{name}{number}", run, timeout=5.0, loop=loop)


def _engine(
    engine: Any, read: Callable[[], State | None]
) -> Iterable[tuple[str, Callable[[], Any], asyncio.AbstractEventLoop | None]]:
    url, state = engine.url, read()
    name = state.name if state is not None else pool_name(url.host, url.port, url.database)
    if not engine.dialect.is_async:
        yield name, engine_query(engine, read), None
        return
    for loop in loops.running()[:1]:
        yield name, engine_query(engine, read), loop


def _in_memory(engine: Any) -> bool:
    """Whether there is no server and no file: and a connection that only its own thread may use."""
    url = engine.url
    name = url.database or ":memory:"
    return engine.dialect.name == "sqlite" and (":memory:" in name or "mode=memory" in str(url.query) + name)


def redis() -> Iterable[Check]:
    """Yield the check that asks every Redis of the bot's asynchronous clients."""
    found = [(pool, read) for pool, read in _found() if _is_a(pool, "redis.asyncio.connection", "ConnectionPool")]
    running = loops.running()
    if not found or not running:
        return
    pings = [(pool, read, redis_ping(pool, read)) for pool, read in found[:_MOST_POOLS]]

    async def ping_all() -> None:
        outcomes = await asyncio.gather(*(ping() for _, _, ping in pings), return_exceptions=True)
        errors = [
            (read, error)
            for (_, read, _), error in zip(pings, outcomes, strict=True)
            if isinstance(error, BaseException)
        ]
        errors.sort(key=lambda each: isinstance(each[1], Degraded))
        for read, error in errors:
            state = read()
            where = f"{state.name}: " if state is not None and len(pings) > 1 else ""
            if isinstance(error, Degraded):
                raise Degraded(f"{where}{error}")
            raise Failed(f"{where}{said_of(error)}")

    yield Check("redis", ping_all, timeout=5.0, loop=running[0])


def _found() -> list[tuple[Any, Callable[[], State | None]]]:
    # Where nothing has needed the pools yet, they are not made here: a thread is no place for instruments.
    return pools().found() if pools.cache_info().currsize else []


def _is_a(pool: object, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(pool, kind)


#: What `otelbot.health.start` takes.
SOURCES: tuple[Callable[[], Iterable[Check]], ...] = (databases, redis, telegram, event_loops)


def _after_fork_in_child() -> None:
    global _last  # noqa: PLW0603
    _bots.clear()
    _last = (lambda: None, lambda: None)
    for pool, _ in _found():
        loop = getattr(pool, "_loop", None)
        if isinstance(loop, asyncio.AbstractEventLoop):
            loops.leave_behind(loop)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
