"""Runs the receiver of a store."""

from __future__ import annotations

from contextlib import asynccontextmanager

from aiohttp import web

from otelbot.dashboard.receiver import receiver_app


@asynccontextmanager
async def receiving(store, token=None, port=0):
    runner = web.AppRunner(receiver_app(store, token), access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
