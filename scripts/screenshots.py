"""Takes pictures of every page of the dashboard, for a person to look at: both themes, both languages, desktop and phone.

`make screenshots` starts a dashboard of its own with the demo's telemetry and writes to out/screenshots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from playwright.async_api import async_playwright

from otelbot.dashboard.serve import serve
from otelbot.dashboard.settings import Settings
from otelbot.demo.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from otelbot.dashboard.instance import Running

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
TALLEST = 2600  # pixels; lists go on for ever
SETTLE = 1500  # ms for charts to be drawn


async def main(out: Path, seconds: float) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("install Chromium first")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = await stack.enter_async_context(dashboard(folder))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        stack.push_async_callback(browser.close)
        await picture(browser, running.page, "empty", "/", out)
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "otelbot", "demo", "--no-dashboard"),
            *("--seconds", f"{seconds:g}", "--endpoint", running.otlp),
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await demo.wait() != 0:
            sys.exit("the demo failed")
        for name, path in (await pages(running.page)).items():
            await picture(browser, running.page, name, path, out)


@asynccontextmanager
async def dashboard(folder: Path) -> AsyncIterator[Running]:
    """Run a dashboard in this process, on free ports."""
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    environ = {
        "OTELBOT_DASHBOARD_FOLDER": str(folder),
        "OTELBOT_DASHBOARD_PORT": "0",
        "OTELBOT_DASHBOARD_OTLP_PORT": "0",
    }
    serving = asyncio.ensure_future(
        serve(Settings.from_environ(environ), stop=stop, on_ready=ready.set_result, environ={})
    )
    try:
        await asyncio.wait({serving, ready}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        yield ready.result()
    finally:
        stop.set()
        await serving


async def pages(base: str) -> dict[str, str]:
    """Return names and paths of all pages, those of single traces among them."""

    def fetch(path: str) -> Any:
        with urlopen(base + path) as response:  # noqa: S310 - our own server
            return json.load(response)

    found = (await asyncio.to_thread(fetch, "/api/traces?limit=200"))["traces"]
    largest = max(found, key=lambda trace: (trace["errors"] > 0, trace["spans"]))
    alike = [trace["trace_id"] for trace in found if trace["handler"] == largest["handler"]]
    names = (
        *("overview", "traces", "logs", "errors", "alerts"),
        *("updates", "telegram", "conversations", "databases", "runtime"),
    )
    return {name: "/" if name == "overview" else f"/{name}" for name in names} | {
        "trace": f"/traces/{largest['trace_id']}",
        "compare": f"/compare?a={largest['trace_id']}&b={alike[-1]}",
    }


async def picture(browser: Browser, base: str, name: str, path: str, out: Path) -> None:
    for theme in ("light", "dark"):
        for language in ("en", "fa"):
            for device, (width, height) in SIZES.items():
                page = await browser.new_page(viewport={"width": width, "height": height})
                await page.add_init_script(
                    f"localStorage.setItem('otelbot.theme', '{theme}');"
                    f"localStorage.setItem('otelbot.language', '{language}')"
                )
                await page.goto(base + path)
                await page.wait_for_selector("main .loading", state="detached")
                await open_first(page, name)
                await page.wait_for_timeout(SETTLE)
                # All of it, with what is fixed to the window in its place.
                tall = await page.evaluate("document.documentElement.scrollHeight")
                await page.set_viewport_size({"width": width, "height": min(max(tall, height), TALLEST)})
                await page.wait_for_timeout(SETTLE / 3)
                await page.screenshot(path=out / f"{name}-{device}-{theme}-{language}.png")
                await page.close()


async def open_first(page: Page, name: str) -> None:
    """Open what a click opens."""
    opens = {"trace": ".row.span >> nth=1", "errors": ".error-line >> nth=0", "logs": ".log-line >> nth=0"}
    if name in opens and await page.locator(opens[name]).count():
        await page.locator(opens[name]).click()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/screenshots"))
    parser.add_argument("--seconds", type=float, default=60, help="of the demo's traffic")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.pop("OTELBOT_DASHBOARD_TOKEN", None)
    given.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.out, given.seconds))
    sys.stdout.write(f"{len(list(given.out.glob('*.png')))} pictures in {given.out}\n")
