"""redis-py, through OpenTelemetry's instrumentation: commands by name, never a key or a value."""

from __future__ import annotations

import inspect
import time
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otelbot.instrumentation.clients import ClientTracerProvider
from otelbot.instrumentation.patching import never_raises
from otelbot.instrumentation.pools import State, pool_name, pools

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

    from otelbot.signals import Component

#: Commands whose name is two words.
_CONTAINERS = frozenset(
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG"
    " XGROUP XINFO".split()
)
_PIPELINE = "PIPELINE"
_LONGEST_NAME = 40
_MOST_COMMANDS = 20
_UNBOUNDED = 2**31  # redis-py's own word for "no limit"
#: What the instrumentation calls two commands of the search module.
_SEARCH = {"REDIS.SEARCH": "FT.SEARCH", "REDIS.CREATE_INDEX": "FT.CREATE"}


def _without_values(command: str) -> str:
    words = command.split(" ")
    names = 2 if words[0].upper() in _CONTAINERS and len(words) > 1 else 1
    return " ".join([*words[:names], *["?"] * (len(words) - names)])


class RedisRules:
    component: Component = "redis"
    expected = frozenset({"NoScriptError"})  # the client loads the script and asks again

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        words = name.removeprefix("b'").removesuffix("'").upper().split()
        kept = dict(attributes)
        if words[:1] == [_PIPELINE]:
            commands = words[1:]
            if commands:
                kept["db.operation.batch.size"] = len(commands)
            operation = f"{_PIPELINE} {commands[0]}" if len(set(commands)) == 1 else _PIPELINE
        else:
            operation = " ".join(words[: 2 if words[:1] and words[0] in _CONTAINERS else 1])
            operation = _SEARCH.get(operation, operation)
        operation = operation[:_LONGEST_NAME] or "redis"
        kept["db.system.name"] = "redis"
        kept["db.operation.name"] = kept["db.query.summary"] = operation
        return operation, kept

    def query_text(self, text: str) -> str:
        """Keep the names of the commands; a command given as one text has its key and value in it."""
        commands = text.split("\n")
        shown = [_without_values(command) for command in commands[:_MOST_COMMANDS]]
        return "\n".join([*shown, "…"] if len(commands) > _MOST_COMMANDS else shown)

    def error_attributes(self, error: BaseException) -> Mapping[str, Any]:
        """Redis' errors begin with a code in capitals: WRONGTYPE, NOSCRIPT, ERR."""
        code = str(error).partition(" ")[0]
        return {"db.response.status_code": code} if code.isalpha() and code.isupper() and len(code) < 20 else {}


@never_raises
def _set_namespace(span: Span, client: Any) -> None:
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if options is not None:  # a cluster has one database, without a number
        span.set_attribute("db.namespace", str(options.get("db") or 0))


def instrument() -> None:
    contrib: Any = import_module("opentelemetry.instrumentation.redis")
    describe_pipeline = contrib._build_span_meta_data_for_pipeline  # noqa: SLF001
    set_connection_attributes = contrib._set_connection_attributes  # noqa: SLF001

    def describe_any_pipeline(instance: Any) -> tuple[list[Any], str, str]:
        try:
            commands, text, name = describe_pipeline(instance)
        except Exception:  # commands given as bytes are more than it expects
            return [], "", _PIPELINE
        return commands, text, f"{_PIPELINE} {name}" if commands else _PIPELINE

    def set_connection_attributes_with_namespace(span: Span, client: Any, *modes: Any) -> None:
        set_connection_attributes(span, client, *modes)
        _set_namespace(span, client)

    contrib._build_span_meta_data_for_pipeline = describe_any_pipeline  # noqa: SLF001
    contrib._set_connection_attributes = set_connection_attributes_with_namespace  # noqa: SLF001
    contrib.RedisInstrumentor().instrument(skip_dep_check=True, tracer_provider=ClientTracerProvider(RedisRules()))
    _watch_pools()
    _count_failed_connections()


_MODULES = ("redis.connection", "redis.asyncio.connection")


def _watch_pools() -> None:
    for name in _MODULES:
        module = import_module(name)
        module.ConnectionPool.__init__ = _watching(module.ConnectionPool.__init__)
        blocking = module.BlockingConnectionPool
        blocking.get_connection = _waiting(blocking.get_connection)


def _watching(original: Any) -> Any:
    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        pools().watch(self, _pool_state)

    return init


def _pool_state(pool: Any) -> State | None:
    options = pool.connection_kwargs
    where = options.get("path") or options.get("host", "localhost")
    port = None if options.get("path") else options.get("port", 6379)
    limit = pool.max_connections if pool.max_connections < _UNBOUNDED else None
    waiting = getattr(pool, "pool", None)  # the queue of a synchronous pool that blocks
    if waiting is not None:
        idle = sum(connection is not None for connection in list(waiting.queue))
        used = len(pool._connections) - idle  # noqa: SLF001
    else:
        used, idle = len(pool._in_use_connections), len(pool._available_connections)  # noqa: SLF001
    if service := getattr(pool, "service_name", None):
        where, port = service, None  # Sentinel tells where that is
    return State("redis", pool_name(where, port, options.get("db") or 0), used, idle, limit)


def _waiting(original: Any) -> Any:
    """Time how long a pool with a bound lets one wait for a connection."""

    def note(pool: Any, started: float, error: BaseException | None) -> None:
        in_vain = error is not None and "available" in str(error)
        if error is None or in_vain:
            pools().waited(pool, time.perf_counter() - started, in_vain=in_vain)

    @wraps(original)
    async def asynchronously(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            connection = await original(self, *args, **kwargs)
        except Exception as error:
            note(self, started, error)
            raise
        note(self, started, None)
        return connection

    @wraps(original)
    def synchronously(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            connection = original(self, *args, **kwargs)
        except Exception as error:
            note(self, started, error)
            raise
        note(self, started, None)
        return connection

    return asynchronously if inspect.iscoroutinefunction(inspect.unwrap(original)) else synchronously


def _count_failed_connections() -> None:
    pools().expect("redis")
    for name in _MODULES:
        module = import_module(name)
        for owner in (module.Connection, module.UnixDomainSocketConnection):
            # Each attempt, below the client's own retries: the first is worth knowing while they go on.
            owner._connect = _counting(owner._connect)  # noqa: SLF001


def _counting(original: Any) -> Any:
    @contextmanager
    def counted() -> Iterator[None]:
        try:
            yield
        except Exception:
            if is_instrumentation_enabled():  # else it is otelbot that asks
                pools().failed("redis")
            raise

    @wraps(original)
    async def asynchronously(self: Any, *args: Any, **kwargs: Any) -> Any:
        with counted():
            return await original(self, *args, **kwargs)

    @wraps(original)
    def synchronously(self: Any, *args: Any, **kwargs: Any) -> Any:
        with counted():
            return original(self, *args, **kwargs)

    return asynchronously if inspect.iscoroutinefunction(original) else synchronously
