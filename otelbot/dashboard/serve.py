"""Runs the dashboard: one receiver of telemetry, one page, alerts, and the store that they share."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

from otelbot.dashboard import instance
from otelbot.dashboard.instance import FolderInUseError, Running, ServeError
from otelbot.dashboard.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiohttp import web

    from otelbot.alerts.evaluator import Alerts
    from otelbot.dashboard.promql import Sample
    from otelbot.dashboard.settings import Settings
    from otelbot.dashboard.store import Store

__all__ = [
    "FolderInUseError",
    "PortInUseError",
    "Running",
    "ServeError",
    "log_to_stderr",
    "require_extra",
    "serve",
    "url",
]

_NEEDED = ("opentelemetry.proto", "plotly", "promql_parser")
_MISSING = "the dashboard's libraries are missing; install them: pip install 'otelbot[dashboard]'"
_log = logging.getLogger("otelbot.dashboard")

#: Seconds that requests may take to end when the dashboard stops: those of a page, which lives on, and of a bot.
_PAGE_ENDS, _RECEIVER_ENDS = 0.5, 5.0


class PortInUseError(ServeError):
    """Something else listens there."""


def require_extra() -> None:
    """:raises ServeError: when the `dashboard` extra is not installed."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise ServeError(_MISSING)


def log_to_stderr() -> None:
    """Show what the dashboard logs, a line of plain text each."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("otelbot").setLevel(logging.INFO)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[Running], None],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Run until `stop` is set; what was acknowledged by then is stored.

    :param on_ready: called once, when both ports answer.
    :param environ: where the channels of alerts are read from.
    :raises FolderInUseError: when another dashboard has the folder.
    :raises PortInUseError: when something else has one of the ports.
    :raises ServeError: when it can't run for another reason.
    """
    require_extra()
    async with AsyncExitStack() as stack:
        stack.enter_context(instance.held(settings.folder))
        page_token = settings.token or _token_for(settings.host, settings)
        otlp_token = _token_for(settings.otlp_host, settings)
        page_socket = _listen(settings.host, settings.port, "--host", "--port")
        stack.callback(page_socket.close)
        otlp_socket = _listen(settings.otlp_host, settings.otlp_port, "--otlp-host", "--otlp-port")
        stack.callback(otlp_socket.close)
        page = url(settings.host, page_socket.getsockname()[1])
        running = Running(
            os.getpid(),
            f"{page}/?token={page_token}" if page_token else page,
            url(settings.otlp_host, otlp_socket.getsockname()[1]),
            otlp_token,
        )

        # Here, so that who only finds the folder or a port in use has not waited for them.
        from aiohttp import web

        from otelbot.dashboard.api.server import PageOptions, page_app
        from otelbot.dashboard.receiver import receiver_app
        from otelbot.dashboard.store import Limits, Store, StoreError

        store = Store(settings.folder, Limits(settings.max_bytes, settings.max_age, settings.metrics_age))
        try:
            store.start()
        except StoreError as error:
            raise ServeError(str(error)) from None
        stack.callback(store.close)
        alerts = _start_alerts(stack, store, settings.folder, settings.url or page, environ)
        app = page_app(store, alerts, PageOptions(settings.host, page_token, settings.url))
        await _open(stack, web.AppRunner(app, access_log=None, shutdown_timeout=_PAGE_ENDS), page_socket)
        # The store decompresses: within bounds, and beside the event loop.
        receiver = web.AppRunner(
            receiver_app(store, otlp_token), access_log=None, auto_decompress=False, shutdown_timeout=_RECEIVER_ENDS
        )
        await _open(stack, receiver, otlp_socket)
        instance.announce(settings.folder, running)
        on_ready(running)
        await stop.wait()


def _start_alerts(stack: AsyncExitStack, store: Store, folder: Path, page: str, environ: Mapping[str, str]) -> Alerts:
    from otelbot.alerts.channels import settings as channels
    from otelbot.alerts.evaluator import Alerts
    from otelbot.dashboard import promql
    from otelbot.dashboard.store.series import StoreSource

    async def query(expression: str, at: float) -> list[Sample]:
        return await store.read(lambda db: promql.instant(expression, StoreSource(db), at))

    async def seen() -> bool:
        return await store.read(lambda db: db.execute("SELECT 1 FROM resources LIMIT 1").fetchone() is not None)

    found = channels.read(environ)
    for problem in found.problems:
        _log.warning("alerts: %s", problem)
    alerts = Alerts(query, folder, found, page_url=page, seen=seen)
    stack.push_async_callback(alerts.close)
    evaluating = asyncio.ensure_future(alerts.run())
    stack.push_async_callback(_end, evaluating)
    return alerts


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    except Exception:
        _log.exception("alerts were evaluated no more")


def _token_for(host: str, settings: Settings) -> str | None:
    if is_loopback(host):
        return None
    return settings.token or instance.token(settings.folder)


def _listen(host: str, port: int, host_option: str, port_option: str) -> socket.socket:
    """:raises ServeError: with the options that mend it."""
    where = url(host, port).removeprefix("http://")
    host_variable, port_variable = (
        f"OTELBOT_DASHBOARD_{option[2:].upper().replace('-', '_')}" for option in (host_option, port_option)
    )
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=256, dualstack_ipv6=both)
    except socket.gaierror:
        why = f"there is no machine {host}; give an address of this one by {host_option} or {host_variable}"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} is in use (at {where}); stop what listens there, or choose another one by {port_option}"
                f" or {port_variable}"
            ) from None
        if error.errno == errno.EACCES:
            why = f"port {port} is for root only; choose one above 1023 by {port_option} or {port_variable}"
        else:
            reason = os.strerror(error.errno) if error.errno else str(error)
            mend = f"give an address of this machine by {host_option} or {host_variable}"
            why = f"{where} can't be opened ({reason}); {mend}"
    raise ServeError(why) from None


def url(host: str, port: int) -> str:
    """Return the URL that leads there; where every address does, by this machine's name."""
    shown = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared only
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


async def _open(stack: AsyncExitStack, runner: web.AppRunner, listening: socket.socket) -> None:
    from aiohttp import web

    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening).start()
