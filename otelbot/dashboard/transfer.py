"""Telemetry out of a folder and into it: files of OTLP/JSON, an Export…ServiceRequest a line."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import aiohttp

from otelbot.dashboard.instance import FolderInUseError, ServeError, held
from otelbot.dashboard.otlp import MalformedError
from otelbot.dashboard.store import BusyError, Limits, Store, StoreError, UnwritableError, exporting, files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from otelbot.dashboard.instance import Running
    from otelbot.dashboard.settings import Settings

    Add = Callable[[str, bytes], Awaitable[None]]

_TIMEOUT = aiohttp.ClientTimeout(total=60)
_TRIES, _PAUSE = 60, 1.0  # seconds: how often a dashboard that is busy is asked again


def export(settings: Settings, target: Path) -> dict[str, int]:
    """Write what is kept into `traces.jsonl`, `metrics.jsonl` and `logs.jsonl` of a folder.

    :return: by signal, how many spans, data points and log records.
    :raises ServeError: when it can't be read or written.
    """
    database = settings.folder / files.DATABASE
    if not database.exists():
        raise ServeError(f"there is nothing in {settings.folder}; name the dashboard's folder by --folder")
    try:
        with closing(files.connect_reading(database, busy_timeout=10)) as db:
            return exporting.write(db, target)
    except OSError as error:
        raise ServeError(
            f"{error.filename or target} can't be written ({error.strerror}); name another folder"
        ) from None
    except sqlite3.Error as error:
        raise ServeError(f"{database} can't be read ({error}); is it that of a dashboard?") from None


def import_from(settings: Settings, path: Path) -> int:
    """Add what a file, or the folder of an export, holds: through the dashboard that runs, or straight into its folder.

    :return: how many requests it held.
    :raises ServeError: when it can't be read or holds something else; what came before that is kept.
    """
    return asyncio.run(_import_from(settings, path))


async def _import_from(settings: Settings, path: Path) -> int:
    try:
        with held(settings.folder):
            return await _into_store(settings, path)
    except FolderInUseError as error:
        if error.running is None:
            raise
        return await _into_running(error.running, path)
    except StoreError as error:
        raise ServeError(str(error)) from None


async def _into_store(settings: Settings, path: Path) -> int:
    store = Store(settings.folder, Limits(settings.max_bytes, settings.max_age, settings.metrics_age))
    store.start()

    async def add(signal: str, body: bytes) -> None:
        try:
            await store.add(signal, body, "", in_json=True)
        except MalformedError as error:
            raise ServeError(str(error)) from None
        except (BusyError, UnwritableError) as error:
            raise ServeError(f"{settings.folder} takes nothing more: {error}") from None

    try:
        return await _each(path, add)
    finally:
        store.close()


async def _into_running(running: Running, path: Path) -> int:
    headers = {"Content-Type": "application/json"}
    if running.otlp_token:
        headers["Authorization"] = f"Bearer {running.otlp_token}"
    async with aiohttp.ClientSession(running.otlp, headers=headers, timeout=_TIMEOUT) as session:

        async def add(signal: str, body: bytes) -> None:
            for _ in range(_TRIES):
                async with session.post(f"/v1/{signal}", data=body) as answer:
                    if answer.ok:
                        return
                    if answer.status == 400:
                        raise ServeError(str((await answer.json())["message"]))
                    if answer.status not in {429, 503}:
                        break
                await asyncio.sleep(_PAUSE)
            raise ServeError(f"the dashboard at {running.otlp} answered {answer.status}; its page says why")

        try:
            return await _each(path, add)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise ServeError(f"the dashboard at {running.otlp} does not answer ({type(error).__name__})") from None


async def _each(path: Path, add: Add) -> int:
    count = 0
    try:
        for signal, request in exporting.requests(path):
            try:
                await add(signal, request)
            except ServeError as error:
                raise ServeError(
                    f"request {count + 1} of {path} was not taken, those before it were: {error}"
                ) from None
            count += 1
    except exporting.NotOtlpError as error:
        raise ServeError(f"{error}; the {count} before it were taken") from None
    except OSError as error:
        raise ServeError(f"{error.filename or path} can't be read ({error.strerror})") from None
    return count
