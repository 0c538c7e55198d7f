"""One run: start a bot, warm it up, give it its updates, stop it; and what that showed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import environments
from benchmarks.server import BotApi, TelemetrySink, message
from benchmarks.variants import SCRAPE_INTERVAL
from otelbot.demo import services
from otelbot.demo.processes import last_lines, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterable

    from benchmarks.server import Json
    from benchmarks.variants import Variant

#: What the loads are called in the report, and how many updates a run of each measures.
LOADS = {
    "api": ("one Bot API call", 3000),
    "db": ("one PostgreSQL query, two Redis commands, one Bot API call", 2000),
    "page": ("a page of 300 records parsed, one Bot API call", 2000),
    "handler": ("the handler only, no input or output", 5000),
}
_USERS = 50
_START = 60.0  # seconds for a bot to come up
_STOP = 20.0
_SLOWEST = 0.1  # seconds for an update; far more than any variant takes
_MIB = 2**20
#: What would change what is measured, were it inherited.
_NOT_INHERITED = ("OTEL_", "OTELBOT_", "SENTRY_", "LOGFIRE_", "PYTHON", "VIRTUAL_ENV")


class RunError(RuntimeError):
    """A bot did not do what it was to; the text has the end of its log."""


@dataclass(frozen=True)
class Services:
    """Where the bots' PostgreSQL and Redis are."""

    postgres: str
    redis: str


@dataclass(frozen=True)
class Figures:
    """What one run showed. `collections` are those of the three generations, for 1,000 updates."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    stall_ms: float
    collections: tuple[float, float, float]
    rss_start_mib: float
    rss_mib: float
    startup_cpu_s: float
    bytes_per_update: float


@asynccontextmanager
async def databases() -> AsyncIterator[Services]:
    """Run a real PostgreSQL and a real Redis on 127.0.0.1."""
    async with services.postgres() as postgres, services.redis_server() as redis:
        yield Services(postgres, redis)


class RunningBot:
    """A bot process with its Bot API and its telemetry sink. `figures` of its marks are those of `bot/gauge.py`."""

    def __init__(self, process: Process, api: BotApi, sink: TelemetrySink, log: Path) -> None:
        self.process = process
        self.sink = sink
        self._api = api
        self._log = log

    async def feed(self, updates: Iterable[Json], patience: float) -> Json:
        """Let the bot do the updates; return its figures since the last time.

        :raises RunError: when it ends, or is not done within `patience` seconds.
        """
        marked = self._api.feed(updates)
        ended = asyncio.ensure_future(self.process.wait())
        either: set[asyncio.Future[Any]] = {marked, ended}
        try:
            await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not marked.done():
            why = f"did not finish within {patience:.0f} s" if self.process.returncode is None else "ended"
            raise RunError(f"the bot {why}:\n{last_lines(self._log)}")
        return marked.result()

    def rss_mib(self) -> float:
        rss: int = psutil.Process(self.process.pid).memory_info().rss
        return rss / _MIB


@asynccontextmanager
async def bot(variant: Variant, load: str, where: Services) -> AsyncIterator[tuple[RunningBot, Json]]:
    """Run a variant's bot and yield it with its first figures, taken when it has answered its first update."""
    with tempfile.TemporaryDirectory(prefix="otelbot-bench-") as temporary:
        log = Path(temporary) / "log"
        async with BotApi() as api, TelemetrySink() as sink:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
            own = {name: value.format(sink=f"127.0.0.1:{sink.port}") for name, value in variant.environ.items()}
            path = f"{environments.program(variant.environment, 'python').parent}{os.pathsep}{os.environ['PATH']}"
            command = [str(environments.program(variant.environment, variant.launcher))]
            if variant.launcher != "python":
                command.append(str(environments.program(variant.environment, "python")))
            command += ["-m", "benchmarks.bot", "--load", load, "--telemetry", variant.telemetry, "--api", api.url]
            if load in {"db", "soak"}:
                command += ["--postgres", where.postgres, "--redis", where.redis]
            environ = {**inherited, **own, "PATH": path, "PYTHONPATH": str(environments.ROOT)}
            async with running(command, log, env=environ, patience=_STOP) as process:
                started = RunningBot(process, api, sink, log)
                yield started, await started.feed((), _START)


async def measure(variant: Variant, load: str, updates: int, warm_up: int, where: Services) -> Figures:
    """Run a variant once.

    :raises RunError: when the bot does not do what it was to.
    """
    async with bot(variant, load, where) as (started, first):
        rss_start = started.rss_mib()
        async with _scraping(started, first["metrics_port"]):
            begin = await started.feed(_same(warm_up), _START + warm_up * _SLOWEST)
            end = await started.feed(_same(updates), _START + updates * _SLOWEST)
        rss = started.rss_mib()
        sink = started.sink
    # The bot has stopped and flushed. The marks are updates, too.
    per_thousand = [(b - a) * 1000 / updates for a, b in zip(begin["collections"], end["collections"], strict=True)]
    return Figures(
        cpu_us=(end["cpu_s"] - begin["cpu_s"]) * 1e6 / updates,
        p50_ms=end["p50_ms"],
        p99_ms=end["p99_ms"],
        stall_ms=end["stall_ms"],
        collections=(per_thousand[0], per_thousand[1], per_thousand[2]),
        rss_start_mib=rss_start,
        rss_mib=rss,
        startup_cpu_s=first["cpu_s"],
        bytes_per_update=sink.received / (warm_up + updates + 3),
    )


def _same(count: int) -> Iterable[Json]:
    return (message("/start", 1000 + number % _USERS, number) for number in range(1, count + 1))


@asynccontextmanager
async def _scraping(started: RunningBot, port: int) -> AsyncIterator[None]:
    """Do what Prometheus does, where the bot serves metrics; the bytes count as sent telemetry."""

    async def scrape() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.0\r\nHost: bot\r\nAccept-Encoding: gzip\r\n\r\n")
            started.sink.received += len(await reader.read())
            writer.close()
            await asyncio.sleep(SCRAPE_INTERVAL)

    scraping: asyncio.Task[Any] | None = asyncio.create_task(scrape()) if port else None
    try:
        yield
    finally:
        if scraping is not None:
            scraping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await scraping
