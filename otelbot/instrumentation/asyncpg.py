"""asyncpg, through OpenTelemetry's instrumentation: one span for each statement, no parameters, no user data."""

from __future__ import annotations

import asyncio
import time
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otelbot.instrumentation.clients import ClientTracerProvider
from otelbot.instrumentation.pools import State, pool_name, pools
from otelbot.instrumentation.sql import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.signals import Component

_TEXT = "db.query.text"
#: What a pool runs whenever a connection comes back to it: `Connection.get_reset_query`.
_RESET = ("SELECT pg_advisory_unlock_all();", "CLOSE ALL;", "UNLISTEN *;", "RESET ALL;")


class AsyncpgRules:
    component: Component = "database"
    expected: frozenset[str] = frozenset()

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        query = str(attributes.get(_TEXT, name))
        if _is_pool_reset(query):
            return None
        statement = describe(query)
        kept = {key: value for key, value in attributes.items() if key != "db.statement.parameters"}
        kept[_TEXT] = statement.text
        kept["db.operation.name"] = statement.operation
        kept["db.query.summary"] = statement.summary
        return statement.summary, kept

    def query_text(self, text: str) -> str:
        return describe(text).text

    def error_attributes(self, error: BaseException) -> Mapping[str, Any]:
        state = getattr(error, "sqlstate", None)
        return {"db.response.status_code": str(state)} if state else {}


def _is_pool_reset(query: str) -> bool:
    lines = query.split("\n")
    return len(lines) > 1 and all(line.strip() in _RESET for line in lines if line.strip())


def instrument() -> None:
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

    class Instrumentor(AsyncPGInstrumentor):
        async def _do_execute(self, func: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            # The instrumentation takes the statement from the first argument only, and raises where it is named.
            for name in ("query", "command"):
                if not args and name in kwargs:
                    args = (kwargs.pop(name),)
            if not args:
                return await func(*args, **kwargs)  # which raises what asyncpg raises
            return await super()._do_execute(func, instance, args, kwargs)  # type: ignore[no-untyped-call]

    instrumentor = Instrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(skip_dep_check=True, tracer_provider=ClientTracerProvider(AsyncpgRules()))
    _trace_cursors_once(instrumentor)
    _trace_copies(instrumentor)
    _watch_pools()
    _count_failed_connections()


def _trace_cursors_once(instrumentor: Any) -> None:
    """Reading row by row is one statement: only the step that executes it is traced, not every row."""
    from asyncpg.cursor import Cursor, CursorIterator
    from wrapt import wrap_function_wrapper

    Cursor.fetchrow = Cursor.fetchrow.__wrapped__
    if hasattr(Cursor, "_init"):
        wrap_function_wrapper(Cursor, "_init", instrumentor._do_cursor_execute)  # noqa: SLF001

    traced = CursorIterator.__anext__
    untraced = getattr(traced, "__wrapped__", traced)

    async def __anext__(self: Any) -> Any:  # noqa: N807
        executed = bool(getattr(self, "_portal_name", None) or getattr(self, "_exhausted", False))
        return await (untraced(self) if executed else traced(self))

    CursorIterator.__anext__ = __anext__


def _trace_copies(instrumentor: Any) -> None:
    """`copy_*` run statements too, which the instrumentation leaves out."""
    from asyncpg.connection import Connection
    from wrapt import wrap_function_wrapper

    def copy_records(func: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        table = args[0] if args else kwargs.get("table_name", "")
        statement = f'COPY "{table}" FROM STDIN'
        return instrumentor._do_execute(lambda _: func(*args, **kwargs), instance, (statement,), {})  # noqa: SLF001

    for name in ("_copy_in", "_copy_out"):
        if hasattr(Connection, name):
            wrap_function_wrapper(Connection, name, instrumentor._do_execute)  # noqa: SLF001
    wrap_function_wrapper(Connection, "copy_records_to_table", copy_records)


def _watch_pools() -> None:
    import asyncpg
    from asyncpg import pool as module

    class Pool(module.Pool):  # type: ignore[misc]
        """asyncpg's pool, with a slot for weak references: it is watched for as long as the bot holds it."""

        __slots__ = ("__weakref__",)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            pools().watch(self, _pool_state)

        async def _acquire(self, timeout: float | None) -> Any:
            started = time.perf_counter()
            try:
                connection = await super()._acquire(timeout)
            except asyncio.TimeoutError:
                pools().waited(self, time.perf_counter() - started, in_vain=True)
                raise
            pools().waited(self, time.perf_counter() - started, in_vain=False)
            return connection

    Pool.__module__, Pool.__qualname__, Pool.__doc__ = module.Pool.__module__, "Pool", module.Pool.__doc__
    module.Pool = asyncpg.Pool = Pool


def _pool_state(pool: Any) -> State | None:
    if pool._closed:  # noqa: SLF001 - asyncpg has no other word for it
        return None
    size, idle = pool.get_size(), pool.get_idle_size()
    return State("postgresql", _pool_name(pool), size - idle, idle, pool.get_max_size())


def _pool_name(pool: Any) -> str:
    """Name a pool by where its connections go, or will: a password may stand in what it was made with."""
    for holder in pool._holders:  # noqa: SLF001
        connection = holder._con  # noqa: SLF001
        if connection is not None:
            address, options = connection._addr, connection._params  # noqa: SLF001
            host, port = address if isinstance(address, tuple) else (address, None)
            return pool_name(host, port, options.database)
    given = pool._connect_kwargs  # noqa: SLF001
    dsn = urlsplit(str((*pool._connect_args, given.get("dsn") or "")[0] or ""))  # noqa: SLF001
    # Of several hosts the first; the one that answers is known with the first connection.
    address = dsn.netloc.rpartition("@")[2].partition(",")[0]
    host, port = _first(given.get("host")) or address.partition(":")[0] or "localhost", _first(given.get("port"))
    port = port or address.partition(":")[2] or 5432
    return pool_name(host, port, given.get("database") or dsn.path.lstrip("/") or None)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else value


def _count_failed_connections() -> None:
    import asyncpg
    from asyncpg import connection as module

    original = module.connect
    pools().expect("postgresql")

    @wraps(original)
    async def connect(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        except asyncio.CancelledError:
            raise
        except Exception:
            pools().failed("postgresql")
            raise

    module.connect = asyncpg.connect = connect
