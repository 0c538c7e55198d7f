"""Fixtures shared by all tests: a Bot API server, an OTLP receiver, and programs run under otelbot-instrument."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiogram  # noqa: F401 - before the policy is set back
import hypothesis
import pytest

from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.otlp import OtlpReceiver
from tests.support import Program, required

# A busy machine is no failure: no timed assertion, in property tests either.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


if sys.version_info < (3, 14):
    asyncio.set_event_loop_policy(None)  # aiogram before 3.5 makes uvloop the policy of whoever imports it


@pytest.fixture
async def api() -> AsyncIterator[BotApiServer]:
    async with BotApiServer() as server:
        yield server


@pytest.fixture
async def otlp() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
async def run(api: BotApiServer, otlp: OtlpReceiver, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts programs under otelbot-instrument; called with what `Program.start` takes."""
    async with AsyncExitStack() as stack:

        async def start(source: str, **options: Any) -> Program:
            program = await Program.start(source, tmp_path, api.url, otlp.url, **options)
            stack.push_async_callback(program.kill)
            return program

        yield start


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for what in mark.args:
            required(what)
