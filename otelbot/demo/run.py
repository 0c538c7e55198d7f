"""Runs the whole demo: services, Bot API server, receiver, the bot under the launcher, users and view."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from otelbot.dashboard.instance import ServeError
from otelbot.demo import services, users
from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.forward import Forwarder
from otelbot.demo.otlp import OtlpReceiver, to_otlp_json
from otelbot.demo.page import dashboard
from otelbot.demo.processes import last_lines, running
from otelbot.demo.view import View
from otelbot.demo.waiting import PATIENCE

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from otelbot.demo.otlp import Received

BOT = [sys.executable, "-m", "otelbot.launcher", sys.executable, "-m", "otelbot.demo.bot"]
REFRESH = 0.25  # seconds between two pictures
GRACE = 1.0  # seconds; the slowest handler takes 0.9
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(RuntimeError):
    """The demo can't go on; the text says why."""


def main(
    seconds: float | None = None, out: Path | None = None, endpoint: str | None = None, *, with_dashboard: bool = True
) -> int:
    """Run the demo and return the exit code.

    :param seconds: end after so long; None runs until Ctrl-C.
    :param out: a folder for `traces.jsonl`, `metrics.jsonl`, `logs.jsonl` (OTLP/JSON, a request a line) and `bot.log`.
    :param endpoint: an OTLP/HTTP receiver that gets everything as well, e.g. the stack's `http://localhost:4318`.
    :param with_dashboard: whether a dashboard shows it all.
    """
    try:
        return asyncio.run(run_demo(seconds, out, endpoint=endpoint, with_dashboard=with_dashboard))
    except KeyboardInterrupt:  # before the signal handlers were there
        return 0


async def run_demo(
    seconds: float | None,
    out: Path | None,
    console: Console | None = None,
    endpoint: str | None = None,
    *,
    with_dashboard: bool = True,
) -> int:
    """Run the demo in the current event loop's main thread; see `main`."""
    console = console or Console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPPING:
        loop.add_signal_handler(number, stop.set)
    try:
        services.require_extra()
        return await _run(seconds, out, console, stop, endpoint, with_dashboard=with_dashboard)
    except (DemoError, services.ServiceError, ServeError, OSError) as error:
        print(f"otelbot demo: {error}", file=sys.stderr)
        return 1
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


async def _run(
    seconds: float | None,
    out: Path | None,
    console: Console,
    stop: asyncio.Event,
    endpoint: str | None,
    *,
    with_dashboard: bool,
) -> int:
    log = _prepare(out)
    died = False
    page: str | None = None
    forwards: list[Forwarder] = []
    try:
        # What receives is entered first and left last: the bot sends its last telemetry while it is being stopped.
        async with AsyncExitStack() as stack:
            if with_dashboard:
                live = await stack.enter_async_context(dashboard())
                page = live.page
                forwards.append(await stack.enter_async_context(Forwarder(live.otlp)))
            if endpoint:
                forwards.append(await stack.enter_async_context(Forwarder(endpoint)))
            receiver = await stack.enter_async_context(OtlpReceiver(keep=False))
            view = View(console, receiver, page)
            with _recorder(out) as record, view:
                view.refresh()

                def take(received: Received) -> None:
                    record(received)
                    view.take(received)
                    for forward in forwards:
                        forward.take(received)

                receiver.on_request = take
                async with shop(receiver.url, log) as (bot, api, token):
                    died = await _until_the_end(seconds, stop, bot, view, users.live(api, token))
    finally:
        # Nobody asked for the bot's log, unless the bot died.
        if out is None and not died:
            shutil.rmtree(log.parent, ignore_errors=True)
    console.print(view.summary())
    for forward in forwards:
        if forward.failed:
            hint = " Is the stack up? (otelbot stack up)" if forward.endpoint == endpoint else ""
            print(
                f"otelbot demo: {forward.endpoint} {forward.failed}; it took {forward.taken} requests.{hint}",
                file=sys.stderr,
            )
    if died:
        raise DemoError(f"the bot ended by itself; its log is {log} and ends with:\n{last_lines(log)}")
    return 0


def _prepare(out: Path | None) -> Path:
    """Make the folder for what is kept, and return the path of the bot's log, which is empty."""
    folder = Path(tempfile.mkdtemp(prefix="otelbot-demo-")) if out is None else out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "bot.log"
    log.write_bytes(b"")
    return log


async def _until_the_end(
    seconds: float | None, stop: asyncio.Event, bot: Process, view: View, talking: Coroutine[Any, Any, None]
) -> bool:
    """Wait until time is up, somebody stops the demo or a part of it fails; return whether the bot ended by itself."""
    tasks = {asyncio.ensure_future(part) for part in (stop.wait(), bot.wait(), _refreshing(view), talking)}
    first = asyncio.ensure_future(view.first_trace.wait())
    try:
        # The seconds are for looking: they count from the first trace, which a busy machine takes a while for.
        done, _ = await asyncio.wait({first, *tasks}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done & tasks:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        view.stopping()
        for task in done & tasks:
            task.result()
        died = bot.returncode is not None and not stop.is_set()
    finally:
        for task in (first, *tasks):
            task.cancel()
        await asyncio.gather(first, *tasks, return_exceptions=True)
    if not died:
        # aiogram does not wait for handlers in flight when it stops: let them end, the users are silent now.
        await asyncio.sleep(GRACE)
    return died


async def _refreshing(view: View) -> None:
    while True:
        view.refresh()
        await asyncio.sleep(REFRESH)


@asynccontextmanager
async def shop(endpoint: str, log: Path) -> AsyncIterator[tuple[Process, BotApiServer, str]]:
    """Run the bot and all that it needs; yield it, its Bot API server and its token.

    :param endpoint: where its telemetry goes, by OTLP/HTTP.
    """
    token = f"{10**9 + secrets.randbelow(9 * 10**9)}:{secrets.token_urlsafe(26)}"
    # What the shell has set for another program's telemetry must not change the demo's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(BotApiServer(tokens=[token]))
        environ |= {
            "BOT_TOKEN": token,
            "BOT_API_URL": api.url,
            "DATABASE_URL": await stack.enter_async_context(services.postgres()),
            "REDIS_URL": await stack.enter_async_context(services.redis_server()),
            "QUOTES_URL": await stack.enter_async_context(services.quotes()),
            "OTEL_SERVICE_NAME": "tea-shop",
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.4.2,deployment.environment.name=demo",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            # Livelier than the defaults of 5 s and 15 s.
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
            "OTEL_METRIC_EXPORT_INTERVAL": "2000",
            "OTELBOT_HEALTH_PORT": os.environ.get("OTELBOT_HEALTH_PORT") or str(services.free_port()),
            "OTELBOT_HEALTH_INTERVAL": os.environ.get("OTELBOT_HEALTH_INTERVAL") or "5",
        }
        bot = await stack.enter_async_context(running(BOT, log, env=environ))
        yield bot, api, token


@contextmanager
def _recorder(out: Path | None) -> Iterator[Callable[[Received], None]]:
    """Write each request, as OTLP/JSON, into the file of its signal in `out`."""
    if out is None:
        yield lambda _: None
        return
    with ExitStack() as stack:
        files = {
            signal_name: stack.enter_context((out / f"{signal_name}.jsonl").open("w", encoding="utf-8"))
            for signal_name in ("traces", "metrics", "logs")
        }

        def record(received: Received) -> None:
            file = files[received.signal]
            file.write(json.dumps(to_otlp_json(received.message), separators=(",", ":")) + "\n")
            file.flush()

        yield record
