"""asyncpg, redis and aiohttp inside a handler: spans by the stable conventions, no noise, no data."""

from __future__ import annotations

import pytest
from aiohttp import web

from otelbot.demo.services import postgres, redis_server
from otelbot.demo.telegram import message_update
from tests.support import TOKEN

#: Each handler uses one client; PRIVATE must not leave the process.
BOT = """
    import aiohttp, asyncpg, redis.asyncio, redis
    PRIVATE = "Ada-Lovelace-7781"
    pool = None

    @dp.startup()
    async def connect():
        global pool
        pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2)
        await pool.execute("CREATE TABLE IF NOT EXISTS teas (id int PRIMARY KEY, name text)")

    @dp.message(Command("sql"))
    async def sql(message):
        async with pool.acquire() as connection:
            await connection.execute("DELETE FROM teas")
            await connection.executemany("INSERT INTO teas VALUES ($1, $2)", [(n, PRIVATE) for n in range(120)])
            assert await connection.fetchval("SELECT count(*) FROM teas WHERE name = 'Ada-Lovelace-7781'") == 120
            async with connection.transaction():
                rows = 0
                async for _ in connection.cursor("SELECT * FROM teas ORDER BY id"):
                    rows += 1
                assert rows == 120
                cursor = await connection.cursor("SELECT name FROM teas ORDER BY id")
                while await cursor.fetchrow():
                    pass
            statement = await connection.prepare("SELECT name FROM teas WHERE id = $1")
            assert await statement.fetchval(7) == PRIVATE
            assert await connection.fetchval(query="SELECT 1") == 1

    @dp.message(Command("sqlfail"))
    async def sqlfail(message):
        for query, args in (
            ("INSERT INTO teas VALUES ($1, $2)", (7, PRIVATE)),
            ("SELECT $1::int", (PRIVATE,)),
            (f"SELECT '{PRIVATE}'::int", ()),
        ):
            try:
                await pool.fetch(query, *args)
            except (asyncpg.PostgresError, asyncpg.DataError) as error:
                logging.warning("query failed: %s", error)
        await pool.fetch("SELECT * FROM nowhere")

    @dp.message(Command("redis"))
    async def use_redis(message):
        client = redis.asyncio.from_url(os.environ["REDIS_URL"])
        await client.set("tea:" + PRIVATE, PRIVATE)
        assert await client.get("tea:" + PRIVATE) == PRIVATE.encode()
        async with client.pipeline() as pipe:
            for number in range(50):
                pipe.set(f"{PRIVATE}{number}", PRIVATE)
                pipe.get(f"{PRIVATE}{number}")
            await pipe.execute()
            pipe.execute_command(b"SET", "x", PRIVATE)
            await pipe.execute()
        await client.execute_command("ECHO " + PRIVATE)
        assert await client.register_script("return ARGV[1]")(args=[PRIVATE]) == PRIVATE.encode()
        await client.client_setname(PRIVATE)
        try:
            await client.lpush("tea:" + PRIVATE, 1)
        except redis.ResponseError:
            pass
        await client.aclose()
        redis.from_url(os.environ["REDIS_URL"]).ping()

    @dp.message(Command("http"))
    async def http(message):
        async with aiohttp.ClientSession() as session:
            base = os.environ["HTTP_URL"]
            await session.get(f"{base}/v1/quotes?name={PRIVATE}&page=2")
            await session.get(f"{base}/users/79990001122/Ada@example.com/{PRIVATE}/Лавлейс?{PRIVATE}")
            await session.get(f"{base}/missing")
            await session.get(f"{base}/bot{bot.token}/getMe")
            try:
                await session.get("http://127.0.0.1:1/" + "bot" + bot.token + "/getMe")
            except aiohttp.ClientConnectionError:
                pass
            try:
                await asyncio.wait_for(session.get(f"{base}/slow"), 0.2)
            except asyncio.TimeoutError:
                pass
            try:
                await session.get(f"{base}/missing", raise_for_status=True)
            except aiohttp.ClientResponseError:
                pass
            try:
                await session.get("//127.0.0.1/x")
            except Exception as error:
                print(type(error).__name__, flush=True)
            for number in range(8):
                try:
                    await session.get(f"http://127.0.0.{number + 2}:1/")
                except aiohttp.ClientConnectionError:
                    pass

    @dp.message(Command("later"))
    async def later(message):
        async def fail(_):
            {}[PRIVATE]
        def boom(who):
            raise RuntimeError("no luck")
        task = asyncio.create_task(fail(1))
        asyncio.get_running_loop().call_soon(boom, PRIVATE)
        await asyncio.sleep(0.01)
        del task

    @dp.error()
    async def swallow(event):
        pass

    main()
"""


@pytest.fixture
async def services():
    seen = {}

    async def answer(request):
        seen[request.path] = {name.lower() for name in request.headers}
        if request.path == "/slow":
            import asyncio

            await asyncio.sleep(30)
        return web.Response(status=404 if request.path == "/missing" else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with postgres() as dsn, redis_server() as redis_url:
        yield {"DATABASE_URL": dsn, "REDIS_URL": redis_url, "HTTP_URL": f"http://127.0.0.1:{port}"}, seen
    await runner.cleanup()


async def test_clients(api, otlp, run, services):
    services, seen = services
    bot = await run(BOT, env=services | {"OTELBOT_CARDINALITY_LIMIT": "5"})
    commands = ("sql", "sqlfail", "redis", "http", "later")
    for command in commands:
        api.push(TOKEN, message_update(f"/{command}"))
    await otlp.wait_for_spans(lambda spans: sum(span.kind == "CONSUMER" for span in spans) == len(commands))
    assert await bot.stop() == 0
    handlers = {span.name: span for span in otlp.spans if span.kind == "INTERNAL"}

    def children(handler):
        spans = [span for span in otlp.spans if span.parent_span_id == handlers[handler].span_id]
        return sorted(spans, key=lambda span: span.start)

    # PostgreSQL: one span a statement, none for the pool's reset or a cursor's rows
    statements = children("sql")
    assert [span.name for span in statements] == [
        "DELETE teas",
        "INSERT teas",
        "SELECT teas",
        "BEGIN",
        "SELECT teas",
        "SELECT teas",
        "COMMIT",
        "SELECT teas",
        "SELECT",
    ]
    for span in statements:
        assert span.kind == "CLIENT"
        assert span.attributes["db.system.name"] == "postgresql"
        assert span.attributes["db.operation.name"] == span.name.split()[0]
        assert span.attributes["db.query.summary"] == span.name
        assert "db.system" not in span.attributes
        assert "db.statement" not in span.attributes
    assert statements[1].attributes["db.query.text"] == "INSERT INTO teas VALUES ($1, $2)"
    assert statements[2].attributes["db.query.text"] == "SELECT count(*) FROM teas WHERE name = ?"

    failed = children("sqlfail")
    assert [(span.status, span.attributes.get("db.response.status_code")) for span in failed] == [
        ("ERROR", "23505"),
        ("ERROR", "22000"),
        ("ERROR", "22P02"),
        ("ERROR", "42P01"),
    ]
    assert failed[0].status_message == "SQLSTATE 23505 (constraint teas_pkey, table teas)"
    assert all(not span.events for span in failed)

    # Redis: commands by name, pipelines with one name however long
    commands = children("use_redis")
    assert [span.name for span in commands if "SETINFO" not in span.name.upper()] == [
        "SET",
        "GET",
        "PIPELINE",
        "PIPELINE",
        "ECHO",
        "EVALSHA",
        "SCRIPT LOAD",
        "EVALSHA",
        "CLIENT SETNAME",
        "LPUSH",
        "PING",
    ]
    by_name = {span.name: span for span in commands}
    assert by_name["SET"].attributes["db.system.name"] == "redis"
    assert by_name["SET"].attributes["db.operation.name"] == by_name["SET"].attributes["db.query.summary"] == "SET"
    assert by_name["SET"].attributes["db.namespace"] == "0"
    pipeline = next(span for span in commands if span.name == "PIPELINE")
    assert pipeline.attributes["db.operation.batch.size"] == 100
    assert by_name["LPUSH"].attributes["db.response.status_code"] == "WRONGTYPE"

    # HTTP: where it went, not what was asked for whom
    requests = children("http")
    base = services["HTTP_URL"]
    assert [span.attributes["url.full"] for span in requests[:7]] == [
        f"{base}/v1/quotes?name=REDACTED&page=REDACTED",
        f"{base}/users/***/***/***/***?REDACTED=REDACTED",
        f"{base}/missing",
        f"{base}/bot***/getMe",
        "http://127.0.0.1:1/bot***/getMe",
        f"{base}/slow",
        f"{base}/missing",
    ]
    statuses = [span.attributes.get("http.response.status_code") for span in requests[:7]]
    assert statuses == [200, 200, 404, 200, None, None, 404]
    assert bot.stdout == "AssertionError\n", "what aiohttp raises for such a URL"
    assert requests[4].attributes["error.type"] == "ClientConnectorError"
    cancelled = requests[5]
    assert cancelled.status == "UNSET"
    assert "error.type" not in cancelled.attributes

    # The trace goes on elsewhere, but not at Telegram.
    assert "traceparent" in seen["/missing"]
    assert "traceparent" not in seen[f"/bot{TOKEN}/getMe"]

    durations = [attributes for attributes, *_ in otlp.metrics["http.client.request.duration"].points]
    hosts = {point["server.address"] for point in durations if "server.address" in point}
    assert hosts == {"127.0.0.1", *(f"127.0.0.{number}" for number in (2, 3, 4, 5)), "other"}
    assert {point.get("error.type") for point in durations} >= {
        None,
        "404",
        "ClientConnectorError",
        "ClientResponseError",
    }
    assert {"http.response.status_code": 404, "error.type": "ClientResponseError"}.items() <= max(
        durations, key=lambda point: point.get("error.type") == "ClientResponseError"
    ).items()

    # asyncio tells of callbacks and of tasks that nobody waits for, without what they were given.
    told = {record.body for record in otlp.logs if record.scope == "asyncio"}
    assert len(told) == 2
    assert "Task exception was never retrieved" in told
    assert any(text.startswith("Exception in callback ") and "later.<locals>.boom" in text for text in told)

    errors = {
        (attributes["component"], attributes["error.type"]): value
        for attributes, value, *_ in otlp.metrics["telegram.bot.errors"].points
    }
    assert errors["database", "UniqueViolationError"] == 1
    assert errors["redis", "ResponseError"] == 1
    assert errors["http", "ClientConnectorError"] == 9
    assert ("redis", "NoScriptError") not in errors
    assert b"Lovelace" not in otlp.raw
    assert TOKEN.encode() not in otlp.raw
