"""Health, as who asks over HTTP sees it: of real bots, with a real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from otelbot.demo.services import postgres, redis_server
from otelbot.demo.telegram import message_update
from otelbot.demo.waiting import PATIENCE
from otelbot.health.monitor import FRESH
from tests.integration.test_webhook import SERVERS, Web, free_port
from tests.support import KEY, OTELBOT, TOKEN, clean_environ

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "pass-Word-5519"

DATABASES = """
    import asyncpg, redis.asyncio
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    @dp.startup()
    async def connect():
        global pool, engine, cache, blocking
        url = os.environ["DATABASE_URL"]
        pool = await asyncpg.create_pool(url, min_size=0, max_size=2)
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=1, max_overflow=0)
        cache = redis.asyncio.from_url(os.environ["REDIS_URL"], max_connections=1)

    held = []

    @dp.message(Command("hold"))
    async def hold(message):
        held.extend([await pool.acquire(), await pool.acquire(), await engine.connect()])
        held.append(await cache.connection_pool.get_connection())
        print("held", flush=True)

    main()
"""


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def health(port: int) -> tuple[int, dict[str, Any]]:
    status, text = await get(port, "/health")
    assert KEY not in text
    assert PASSWORD not in text
    return status, json.loads(text)


async def until(port: int, look: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Ask for health until it is what `look` looks for."""
    body: dict[str, Any] = {}
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        try:
            body = (await health(port))[1]
        except aiohttp.ClientError:
            body = {}
        if body and look(body):
            return body
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain; health is {body}")


def statuses(body: dict[str, Any]) -> dict[str, str]:
    return {name: check["status"] for name, check in body["checks"].items()}


def served(port: int, **more: str) -> dict[str, str]:
    return {"OTELBOT_HEALTH_PORT": str(port), "OTELBOT_HEALTH_INTERVAL": "3600", **more}


async def test_a_postgresql_that_stops_is_seen_in_the_next_answer(api, otlp, run):
    port = free_port()
    async with AsyncExitStack() as database, redis_server() as redis_url:
        dsn = await database.enter_async_context(postgres())
        dsn = dsn.replace("shop@", f"shop:{PASSWORD}@")
        bot = await run(DATABASES, env=served(port, DATABASE_URL=dsn, REDIS_URL=redis_url))
        body = await until(port, lambda body: len(body["checks"]) == 7)
        address = dsn.partition("@")[2]
        assert statuses(body) == {
            f"database:{address}#1": "healthy",
            f"database:{address}#2": "healthy",
            "redis": "healthy",
            "memory": "healthy",
            "telegram": "healthy",
            "event_loop": "healthy",
            "exporter": "healthy",
        }
        assert body["status"] == "healthy"
        assert body["ready"] is True
        assert body["uptime"] > 0
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/readyz")) == (200, "ready\n")

        await database.aclose()
        await asyncio.sleep(FRESH)  # how old an answer may be
        status, body = await health(port)
        assert (status, body["status"], body["ready"]) == (503, "unhealthy", False)
        ill = {name: check["error"] for name, check in body["checks"].items() if check["status"] == "unhealthy"}
        assert set(ill) == {f"database:{address}#1", f"database:{address}#2"}
        assert all("Connect" in error for error in ill.values())
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503

        ask = await asyncio.create_subprocess_exec(
            *(OTELBOT.replace("/otelbot", "/python"), "-c"),
            "import sys; from otelbot.health.command import ask; sys.exit(ask(None, 60))",
            env=clean_environ() | served(port),
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await ask.communicate())[0].decode()
        assert ask.returncode == 1
        assert said.startswith("unhealthy\n")
        assert PASSWORD not in said

    events = await otlp.wait_for(lambda: [log for log in otlp.logs if log.event_name == "system.event"])
    assert {log.attributes["health.check"] for log in events} <= set(ill) | {"redis"}
    (event, *_) = events
    assert event.severity_text == "WARN"
    assert event.attributes["health.status"] == "unhealthy"
    assert event.attributes["health.previous"] == "healthy"
    values = await otlp.wait_for(lambda: gauge(otlp))
    assert values[f"database:{address}#1"] == 0
    assert values["memory"] == 1
    assert await bot.stop() == 0
    assert "otelbot:" not in bot.stderr

    # The bot itself has asked nothing but Telegram, and that before it polled.
    assert {span.name for span in otlp.spans} <= {"getMe", "deleteWebhook", "getUpdates"}
    assert [span.name for span in otlp.spans].count("getMe") == 1
    assert not {name for name in otlp.metrics if name.startswith("db.client.operation")}
    assert not {name for name in otlp.metrics if name.startswith("http.client")}
    failures = otlp.metrics["telegram.bot.database.connection.failures"].points
    assert {value for _, value, _ in failures} == {0}
    assert len([call for call in api.calls if call.method == "getMe"]) == 2
    assert KEY.encode() not in otlp.raw
    assert PASSWORD.encode() not in otlp.raw


def gauge(otlp) -> dict[str, float]:
    metric = otlp.metrics.get("otelbot.health.status")
    values = {attributes["check"]: value for attributes, value, _ in metric.points} if metric else {}
    return values if 0 in values.values() else {}


async def test_a_pool_without_a_connection_to_spare_is_degraded(api, run):
    port = free_port()
    async with postgres() as dsn, redis_server() as redis_url:
        bot = await run(DATABASES, env=served(port, DATABASE_URL=dsn, REDIS_URL=redis_url))
        await until(port, lambda body: len(body["checks"]) == 7)
        api.push(TOKEN, message_update("/hold"))
        body = await until(port, lambda body: list(statuses(body).values()).count("degraded") == 3)
        assert (await get(port, "/readyz"))[0] == 200
        assert await bot.stop() == 0
    assert body["status"] == "degraded"
    errors = [body["checks"][name]["error"] for name in sorted(body["checks"]) if statuses(body)[name] == "degraded"]
    assert errors == [
        f"the server answers, but all {count}connections of the pool are in use" for count in ("2 ", "1 ", "1 ")
    ]


OWN = """
    import threading
    import otelbot
    from otelbot.health.checks import register
    from otelbot.health.memory import memory_check

    register(memory_check(limit=0.0001))
    go_on = threading.Event()

    @otelbot.health_check("hangs", timeout=0.5, critical=False)
    def hang():
        threading.Event().wait()

    @otelbot.health_check("shop", timeout=3)
    async def shop():
        assert bot.token not in str(await bot.me())
        raise RuntimeError(f"https://me:pass-Word-5519@shop.example/bot{bot.token}/ is closed")

    @dp.message(Command("block"))
    async def block(message):
        while not os.path.exists("go on"):
            threading.Event().wait(0.05)

    main()
"""


async def test_own_checks_and_a_blocked_loop(api, otlp, run, tmp_path):
    port = free_port()
    bot = await run(OWN, env=served(port))
    body = await until(port, lambda body: "telegram" in body["checks"])
    assert statuses(body) == {
        "memory": "degraded",
        "hangs": "degraded",
        "shop": "unhealthy",
        "telegram": "healthy",
        "event_loop": "healthy",
        "exporter": "healthy",
    }
    assert body["checks"]["shop"]["error"] == "RuntimeError: https://***@shop.example/bot***/ is closed"
    assert body["checks"]["hangs"]["error"] == "no answer within 0.5 s"
    assert "of the memory of" in body["checks"]["memory"]["error"]

    api.push(TOKEN, message_update("/block"))
    body = await until(port, lambda body: statuses(body)["event_loop"] == "unhealthy")
    assert body["checks"]["event_loop"]["error"] == "no answer within 2 s"
    assert statuses(body)["memory"] == "degraded"
    assert (await get(port, "/livez"))[0] == 200
    (tmp_path / "go on").touch()
    await until(port, lambda body: statuses(body)["event_loop"] == "healthy")
    assert await bot.stop() == 0


async def test_telegram_is_asked_once_a_minute_and_its_refusals_are_told_without_the_token(api, run):
    port = free_port()
    bot = await run("main()", env=served(port))
    await api.wait_for_call("getMe")  # the bot's own
    api.fail("getMe", 401, f"Unauthorized: bot{TOKEN}", times=None)
    body = await until(port, lambda body: "telegram" in body["checks"])
    assert statuses(body)["telegram"] == "unhealthy"
    assert body["checks"]["telegram"]["error"].startswith("TelegramUnauthorizedError: Telegram server says")
    asked = [call for call in api.calls if call.method == "getMe"]
    api.clear_faults()
    await asyncio.sleep(1.1)  # older than what an answer may be
    assert statuses((await health(port))[1])["telegram"] == "unhealthy"
    assert [call for call in api.calls if call.method == "getMe"] == asked
    assert await bot.stop() == 0


async def test_a_bot_that_has_not_started_is_alive_and_not_ready(run):
    port = free_port()
    source = """
        import time
        while not os.path.exists("go on"):
            time.sleep(0.02)
        main()
    """
    bot = await run(source, env=served(port))
    await until(port, lambda body: body["ready"] is False)
    assert await get(port, "/readyz") == (503, "the bot has not started yet\n")
    assert (await get(port, "/livez"))[0] == 200
    (bot.folder / "go on").touch()
    await until(port, lambda body: body["ready"] is True)
    assert (await get(port, "/readyz"))[0] == 200
    assert await bot.stop() == 0


async def test_a_port_in_use_is_one_sentence_and_is_tried_again(api, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bot = await run("main()", env=served(port, OTELBOT_HEALTH_INTERVAL="0.2"))
        await api.wait_for_call("getUpdates")
        await asyncio.sleep(1)
    await until(port, lambda body: body["ready"])
    assert await bot.stop() == 0
    (line,) = (line for line in bot.stderr.splitlines() if "otelbot:" in line)
    assert f"health can't be served on 127.0.0.1:{port} (Address already in use); the bot goes on" in line
    assert "Set OTELBOT_HEALTH_PORT to a free port" in line


async def test_nothing_is_served_and_little_loaded_without_a_port(api, run):
    source = """
        import sys
        @dp.startup()
        async def show():
            print("http.server" in sys.modules, *(name for name in sys.modules if name.startswith("otelbot.health.")))
        main()
    """
    bot = await run(source)
    await api.wait_for_call("getUpdates")
    assert await bot.stop() == 0
    served, *modules = bot.stdout.split()
    assert served == "False"
    assert {name.rpartition(".")[2] for name in modules} == {"checks", "loops", "quiet", "texts"}


async def test_a_forked_child_does_not_keep_the_port(api, run):
    port = free_port()
    source = """
        child = os.fork()
        if child == 0:
            import time
            print(os.getpid(), flush=True)
            time.sleep(600)
        main()
    """
    bot = await run(source, env=served(port))
    await until(port, lambda body: body["ready"])
    bot.process.send_signal(signal.SIGTERM)
    await bot.wait()
    os.kill(int(bot.stdout), 0)  # it lives
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen()


async def test_a_child_that_works_as_a_bot_has_checks_of_its_own(api, run):
    port = free_port()
    source = """
        import asyncpg
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            main()
        else:
            os.wait()
    """
    bot = await run(source, env=served(port, OTELBOT_HEALTH_INTERVAL="0.2"))
    # The parent holds the port as long as it lives, and is not ready, for it is no bot.
    await until(port, lambda body: body["ready"] is False)
    await api.wait_for_call("getUpdates")
    bot.process.send_signal(signal.SIGKILL)
    await bot.wait()
    body = await until(port, lambda body: body["ready"] and "telegram" in body["checks"])
    assert statuses(body)["event_loop"] == statuses(body)["telegram"] == "healthy"
    assert "otelbot:" not in bot.stderr


async def test_one_of_the_workers_serves_and_another_when_it_has_gone(run):
    source, path, command = SERVERS["gunicorn"]
    web_port, port = free_port(), free_port()
    words = tuple(word.format(port=web_port) for word in command)
    server = await run(source, name="app.py", command=words, env=served(port, OTELBOT_HEALTH_INTERVAL="0.2"))
    web = await Web(server, web_port).started()
    with pytest.raises(aiohttp.ClientError):
        await get(port, "/livez")  # no worker has worked yet, and the master never does
    workers: set[str] = set()
    while len(workers) < 2:
        workers |= {body for _, body in await asyncio.gather(*(web.update(path, "hello") for _ in range(4)))}
    await until(port, lambda body: body["ready"])
    for worker in sorted(workers):
        os.kill(int(worker), signal.SIGKILL)
    new = None
    while new is None or new in workers:
        with suppress(aiohttp.ClientError):
            status, new = await web.update(path, "hello")
            assert status == 200
    await until(port, lambda body: body["ready"])
    await server.stop()
    assert "can't be served" not in server.stderr
