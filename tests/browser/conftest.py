"""A dashboard as users run it, and a Chromium that looks at it and notes whatever goes wrong in a page."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import async_playwright, expect

from otelbot.dashboard.serve import serve
from otelbot.dashboard.settings import Settings
from otelbot.demo.waiting import PATIENCE
from tests.browser.telemetry import Bot
from tests.support import required

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import pytest
    from playwright.async_api import Browser, ConsoleMessage, Page, Request

    from otelbot.dashboard.instance import Running

expect.set_options(timeout=PATIENCE * 1000)

#: Tells the console of what the Content-Security-Policy has stopped.
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
    console.error(`stopped by the policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@asynccontextmanager
async def running_dashboard(folder: Path, **variables: str) -> AsyncIterator[Running]:
    """Run a dashboard in this process, on free ports."""
    environ = {
        "OTELBOT_DASHBOARD_FOLDER": str(folder),
        "OTELBOT_DASHBOARD_PORT": "0",
        "OTELBOT_DASHBOARD_OTLP_PORT": "0",
        **variables,
    }
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve(Settings.from_environ(environ), stop=stop, on_ready=ready.set_result, environ={})
    )
    await asyncio.wait({serving, ready}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield ready.result()
    finally:
        stop.set()
        await serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dashboard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One dashboard for all tests; each sends telemetry of a service of its own."""
    async with running_dashboard(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def bot(dashboard: Running, request: pytest.FixtureRequest) -> AsyncIterator[Bot]:
    """Sends what a bot would."""
    async with Bot(dashboard.otlp, request.node.name[:60]) as sender:
        yield sender


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    required("browser")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, dashboard: Running) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Opens a path of the dashboard; at the end nothing may have gone wrong in any page.

    Takes what a browser context takes, `base` for another dashboard, and `expected`: parts of messages that may come.
    """
    wrong: list[str] = []
    contexts = []

    async def open_page(
        path: str, *, base: str = dashboard.page, expected: tuple[str, ...] = (), **options: Any
    ) -> Page:
        context = await browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        )
        contexts.append(context)
        await context.add_init_script(TELL_VIOLATIONS)
        page = await context.new_page()

        def note(message: str) -> None:
            if not any(part in message for part in expected):
                wrong.append(message)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                note(f"console: {message.text} {message.location.get('url')}")

        def on_request(request: Request) -> None:
            if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).netloc != urlsplit(base).netloc:
                note(f"request to {request.url}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: note(f"exception: {error}"))
        page.on("request", on_request)
        page.on("dialog", lambda dialog: note(f"script ran: {dialog.message}"))
        await page.goto(base + path)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert wrong == []
