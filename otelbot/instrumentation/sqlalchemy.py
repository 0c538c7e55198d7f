"""SQLAlchemy: the pools of its engines. Its statements through asyncpg are seen there."""

from __future__ import annotations

from functools import wraps
from typing import Any

from otelbot.instrumentation.pools import State, pool_name, pools

#: SQLAlchemy's names of dialects → `db.system.name`, where they differ.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}


def instrument() -> None:
    from sqlalchemy.engine.base import Engine

    original = Engine.__init__

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        pools().watch(self, _engine_state)

    Engine.__init__ = init  # type: ignore[method-assign]


def _engine_state(engine: Any) -> State | None:
    pool, url = engine.pool, engine.url
    if not hasattr(pool, "checkedin"):
        return None  # NullPool keeps none
    system = _SYSTEMS.get(engine.dialect.name, engine.dialect.name)
    name = "sqlite" if system == "sqlite" else pool_name(url.host, url.port, url.database)  # there it is a file's path
    limit = pool.size() + pool._max_overflow if getattr(pool, "_max_overflow", -1) >= 0 else None  # noqa: SLF001
    return State(system, name, pool.checkedout(), pool.checkedin(), limit)
