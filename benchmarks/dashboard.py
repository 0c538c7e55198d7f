"""How many spans `otelbot dashboard` takes and keeps, what that costs, and how fast its page answers meanwhile.

`make bench-dashboard`: 5,000 spans a second for a minute, plain and compressed, then as many as it takes. The real
command in one process, the senders in another, on this machine. Results go to out/dashboard.json.
"""
# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import psutil

from benchmarks.report import machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ROOT = Path(__file__).parents[1]
_MIB = 2**20
_LOOK_EACH = 0.1  # s
_ALL = (("plain", 5000.0, False), ("gzip", 5000.0, True), ("most", 0.0, False))


class _Server(NamedTuple):
    otlp: str
    page: str
    process: psutil.Process
    database: Path


class _Watch:
    """Looks at memory and at the page, again and again."""

    def __init__(self, server: _Server) -> None:
        self.rss = 0
        self.waits: list[float] = []
        self.failed = 0
        self._server = server

    async def run(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                self.rss = max(self.rss, self._server.process.memory_info().rss)
                asked = time.monotonic()
                try:
                    async with http.get(f"{self._server.page}/api/health") as response:
                        await response.read()
                except aiohttp.ClientError:
                    self.failed += 1
                self.waits.append(time.monotonic() - asked)
                await asyncio.sleep(_LOOK_EACH)


async def measure(name: str, rate: float, seconds: float, *, compressed: bool) -> dict[str, Any]:
    """Send for a time to a new dashboard, and return what happened."""
    async with _dashboard() as server:
        watch = _Watch(server)
        watching = asyncio.create_task(watch.run())
        before = _cpu(server.process)
        sent = await _send(server.otlp, rate, seconds, compressed=compressed)
        cpu = _cpu(server.process) - before
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        with closing(sqlite3.connect(f"{server.database.as_uri()}?mode=ro", uri=True)) as db:
            ((kept,),) = db.execute("SELECT count(*) FROM spans").fetchall()
        size = _size(server.database)
    return {
        "name": name,
        "asked for, spans/s": rate or None,
        "accepted, spans/s": sent["accepted"] / sent["seconds"],
        "accepted": sent["accepted"],
        "kept": kept,
        "refused requests": sent["refused"],
        "behind at the end, s": sent["late"],
        "export p50, ms": _quantile(sent["waits"], 0.5) * 1e3,
        "export p99, ms": _quantile(sent["waits"], 0.99) * 1e3,
        "page p50, ms": _quantile(watch.waits, 0.5) * 1e3,
        "page p99, ms": _quantile(watch.waits, 0.99) * 1e3,
        "page failed": watch.failed,
        "RSS at most, MiB": watch.rss / _MIB,
        "CPU of the dashboard": cpu / sent["seconds"],
        "CPU of the senders": sent["cpu"] / sent["seconds"],
        "database, MiB": size / _MIB,
        "received, MiB": sent["bytes"] / _MIB,
    }


@asynccontextmanager
async def _dashboard() -> AsyncIterator[_Server]:
    otlp_port, port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            **os.environ,
            "OTELBOT_DASHBOARD_FOLDER": folder,
            "OTELBOT_DASHBOARD_OTLP_PORT": str(otlp_port),
            "OTELBOT_DASHBOARD_PORT": str(port),
        }
        log = Path(folder, "log")
        with log.open("wb") as output:  # noqa: ASYNC230 - nothing else runs
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "otelbot", "dashboard", env=environ, stdout=output, stderr=output
            )
        try:
            server = _Server(
                f"http://127.0.0.1:{otlp_port}",
                f"http://127.0.0.1:{port}",
                psutil.Process(process.pid),
                Path(folder, "telemetry.sqlite"),
            )
            await _ready(server, process, log)
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(server: _Server, process: asyncio.subprocess.Process, log: Path) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            if process.returncode is not None:
                raise SystemExit(f"the dashboard ended:\n{_text(log)}")
            try:
                async with http.get(f"{server.page}/api/health") as response:
                    await response.read()
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def _send(url: str, rate: float, seconds: float, *, compressed: bool) -> dict[str, Any]:
    arguments = [url, f"--rate={rate}", f"--seconds={seconds}", *(["--gzip"] if compressed else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.dashboard_load", *arguments, stdout=asyncio.subprocess.PIPE, cwd=_ROOT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("the senders failed")
    result: dict[str, Any] = json.loads(output)
    return result


def _size(database: Path) -> int:
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def table(results: list[dict[str, Any]]) -> str:
    """Return results as a Markdown table, one column for each."""
    rows = [["", *(result["name"] for result in results)], ["---"] * (len(results) + 1)]
    rows += [[what, *(_shown(result[what]) for result in results)] for what in list(results[0])[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _shown(value: Any) -> str:
    if value is None:
        return "any"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--rate", type=float, help="spans a second, instead of all the measurements; 0: as many as it takes"
    )
    parser.add_argument("--gzip", action="store_true", help="with --rate")
    parser.add_argument("--out", type=Path, default=_ROOT / "out")
    options = parser.parse_args()
    wanted = _ALL if options.rate is None else (("one", options.rate, options.gzip),)
    results = [
        asyncio.run(measure(name, rate, options.seconds, compressed=compressed)) for name, rate, compressed in wanted
    ]
    print(f"{machine()}\n\n{table(results)}")
    options.out.mkdir(exist_ok=True)
    path = options.out / "dashboard.json"
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")
    if any(result["kept"] != result["accepted"] for result in results):
        raise SystemExit("not all that was accepted is kept")


if __name__ == "__main__":
    main()
