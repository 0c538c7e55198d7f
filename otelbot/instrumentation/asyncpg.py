"""asyncpg, through OpenTelemetry's instrumentation: one span for each statement, no parameters, no user data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otelbot.instrumentation.clients import ClientTracerProvider
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
            return await super()._do_execute(func, instance, args, kwargs)  # type: ignore[no-untyped-call]

    instrumentor = Instrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(skip_dep_check=True, tracer_provider=ClientTracerProvider(AsyncpgRules()))
    _trace_cursors_once(instrumentor)


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
