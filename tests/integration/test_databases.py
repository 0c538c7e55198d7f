"""Durations, pools and failed connections of databases: asyncpg, SQLAlchemy's asyncpg dialect, redis."""

from __future__ import annotations

import asyncio

import pytest

from otelbot.demo.services import postgres, redis_server
from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

BOT = """
    import io
    import aiohttp, asyncpg, redis, redis.asyncio
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    @dp.startup()
    async def connect():
        global pool, engine, cache, blocking
        pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=3)
        url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
        engine = create_async_engine(url, pool_size=4, max_overflow=1)
        cache = redis.asyncio.from_url(os.environ["REDIS_URL"], max_connections=7)
        blocking = redis.asyncio.Redis(connection_pool=redis.asyncio.BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], max_connections=1, timeout=0.1))

    @dp.message(Command("use"))
    async def use(message):
        await pool.execute("CREATE TABLE IF NOT EXISTS teas (id int, name text)")
        async with pool.acquire() as connection:
            await connection.copy_records_to_table("teas", records=[(1, "Ada-Lovelace-7781")])
            await connection.copy_from_query("SELECT * FROM teas", output=io.BytesIO())
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM teas"))).scalar() == 1
        await cache.set("a", 1)
        async with cache.pubsub() as pubsub:
            await pubsub.subscribe("news")
        from sqlalchemy import create_engine
        with create_engine("sqlite:///secret-customer.db").connect():
            pass
        await asyncio.sleep(0)

    @dp.message(Command("hold"))
    async def hold(message):
        held = [await pool.acquire() for _ in range(3)]
        try:
            await pool.acquire(timeout=0.05)
        except asyncio.TimeoutError:
            print("no connection", flush=True)
        taken = await blocking.connection_pool.get_connection()
        try:
            await blocking.get("a")
        except redis.ConnectionError:
            print("no redis connection", flush=True)
        async with engine.connect():
            await asyncio.sleep(1.5)  # several exports
        for connection in held:
            await pool.release(connection)
        await blocking.connection_pool.release(taken)

    @dp.message(Command("fail"))
    async def fail(message):
        for attempt in (
            lambda: asyncpg.connect("postgresql://me:s3cr3t@127.0.0.1:1/none"),
            lambda: redis.asyncio.from_url("redis://:s3cr3t@127.0.0.1:1/0").ping(),
        ):
            try:
                await attempt()
            except (OSError, redis.ConnectionError) as error:
                print(type(error).__name__, flush=True)

    main()
"""


@pytest.fixture(scope="module")
def bot(tmp_path_factory) -> Recording:
    async def play(recording: Recording) -> None:
        recording.api.push(TOKEN, message_update("/use"))
        await recording.wait_for_updates(1)
        # A library's count begins when it is imported, and an export may lie between the two imports.
        await recording.otlp.wait_for(lambda: len(recording.points("telegram.bot.database.connection.failures")) == 2)
        recording.notes["before"] = recording.points("telegram.bot.database.connection.failures")
        recording.api.push(TOKEN, message_update("/hold"))
        await recording.otlp.wait_for(lambda: used(recording) >= 3)
        recording.notes["held"] = recording.points("db.client.connection.count")
        await recording.wait_for_updates(2)
        recording.api.push(TOKEN, message_update("/fail"))
        await recording.wait_for_updates(3)
        await recording.program.stop()

    def used(recording: Recording) -> int:
        points = recording.points("db.client.connection.count")
        return max(
            (value for attributes, value in points if attributes["db.client.connection.state"] == "used"), default=0
        )

    async def services() -> Recording:
        async with postgres() as dsn, redis_server() as redis_url:
            env = {"DATABASE_URL": dsn, "REDIS_URL": redis_url}
            folder = tmp_path_factory.mktemp("databases")
            recording = await asyncio.to_thread(record, BOT, folder, play, env=env)
            recording.notes["urls"] = (dsn, redis_url)
            return recording

    return asyncio.run(services())


def test_operations_are_timed(bot):
    operations = {
        (attributes["db.system.name"], attributes["db.operation.name"], attributes.get("error.type"))
        for attributes, _ in bot.points("db.client.operation.duration")
    }
    assert operations >= {
        ("postgresql", "CREATE", None),
        ("postgresql", "COPY", None),
        ("postgresql", "SELECT", None),
        ("redis", "SET", None),
        ("redis", "PING", "ConnectionError"),
    }
    allowed = {
        "db.system.name",
        "db.operation.name",
        "db.namespace",
        "server.address",
        "server.port",
        "db.response.status_code",
        "error.type",
    }
    assert all(set(attributes) <= allowed for attributes, _ in bot.points("db.client.operation.duration"))


def test_copies_are_spans(bot):
    handler = bot.children(bot.update("message use"))["use"]
    names = [span.name for span in bot.otlp.spans if span.parent_span_id == handler.span_id]
    assert [name for name in names if "COPY" in name] == ['COPY "teas"', "COPY teas"]
    assert b"Lovelace" not in bot.otlp.raw


def test_sqlalchemys_statements_are_asyncpgs(bot):
    handler = bot.children(bot.update("message use"))["use"]
    texts = [span.attributes.get("db.query.text") for span in bot.otlp.spans if span.parent_span_id == handler.span_id]
    assert texts.count("SELECT count(*) FROM teas") == 1


def test_pools_show_used_and_idle_connections(bot):
    dsn, redis_url = bot.notes["urls"]
    postgres_pool = dsn.partition("@")[2]
    redis_pool = redis_url.partition("//")[2]
    held = {
        (attributes["db.client.connection.pool.name"], attributes["db.client.connection.state"]): value
        for attributes, value in bot.notes["held"]
    }
    # Three of the pool, and perhaps already one of the engine, which goes to the same database.
    assert held[postgres_pool, "used"] in {3, 4}
    assert held[redis_pool, "used"] in {0, 1}
    limits = {
        attributes["db.client.connection.pool.name"]: value
        for attributes, value in bot.points("db.client.connection.max")
    }
    assert limits[postgres_pool] == 3 + 5
    assert limits[redis_pool] >= 7 + 1
    assert b"secret-customer" not in bot.otlp.raw


def test_waiting_for_a_connection_is_timed_and_giving_up_is_counted(bot):
    waits = {
        attributes["db.system.name"]: value[0] for attributes, value in bot.points("db.client.connection.wait_time")
    }
    assert waits["postgresql"] >= 4
    assert waits["redis"] >= 1
    timeouts = {
        attributes["db.system.name"]: value for attributes, value in bot.points("db.client.connection.timeouts")
    }
    assert timeouts == {"postgresql": 1, "redis": 1}
    assert "no connection" in bot.program.stdout


def test_failed_connections_are_counted_from_zero(bot):
    def by_system(points):
        return {attributes["db.system.name"]: value for attributes, value in points}

    assert by_system(bot.notes["before"]) == {"postgresql": 0, "redis": 0}
    after = by_system(bot.points("telegram.bot.database.connection.failures"))
    assert after["postgresql"] == 1
    assert after["redis"] >= 1
    assert b"s3cr3t" not in bot.otlp.raw


DYING = """
    import asyncpg, redis.asyncio

    @dp.startup()
    async def connect():
        global pool, cache
        pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2)
        cache = redis.asyncio.from_url(os.environ["REDIS_URL"])
        await cache.ping()

    @dp.message(F.text == "sql")
    async def sql(message):
        try:
            await pool.fetchval("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass

    @dp.message(F.text == "redis")
    async def ping(message):
        try:
            await cache.ping()
        except redis.RedisError:
            pass

    main()
"""


async def test_a_database_that_dies_is_seen_from_the_first_failure_on(api, otlp, run):
    def failures():
        metric = otlp.metrics.get("telegram.bot.database.connection.failures")
        return {attributes["db.system.name"]: value for attributes, value, _ in metric.points} if metric else {}

    async with redis_server() as redis_url:
        async with postgres() as dsn:
            bot = await run(DYING, env={"DATABASE_URL": dsn, "REDIS_URL": redis_url})
            await otlp.wait_for(lambda: failures() == {"postgresql": 0, "redis": 0})
        # The first use only finds out that the connection is gone.
        while not failures()["postgresql"]:
            api.push(TOKEN, message_update("sql"))
            await asyncio.sleep(0.2)
        assert failures()["redis"] == 0
    while not failures()["redis"]:
        api.push(TOKEN, message_update("redis"))
        await asyncio.sleep(0.2)
    assert await bot.stop() == 0
    assert "otelbot:" not in bot.stderr
