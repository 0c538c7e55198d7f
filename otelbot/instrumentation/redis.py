"""redis-py, through OpenTelemetry's instrumentation: commands by name, never a key or a value."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otelbot.instrumentation.clients import ClientTracerProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.signals import Component

#: Commands whose name is two words; every other name with a blank is a pipeline's list of commands.
_CONTAINERS = frozenset(
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG"
    " XGROUP XINFO".split()
)
_LONGEST_NAME = 40
_MOST_COMMANDS = 20
#: What the instrumentation calls two commands of the search module.
_SEARCH = {"REDIS.SEARCH": "FT.SEARCH", "REDIS.CREATE_INDEX": "FT.CREATE"}


def _without_values(command: str) -> str:
    words = command.split(" ")
    names = 2 if words[0].upper() in _CONTAINERS and len(words) > 1 else 1
    return " ".join([*words[:names], *["?"] * (len(words) - names)])


class RedisRules:
    component: Component = "redis"

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        words = name.removeprefix("b'").removesuffix("'").upper().split()
        kept = dict(attributes)
        if len(words) > 1 and not (words[0] in _CONTAINERS and len(words) == 2):
            kept["db.operation.batch.size"] = len(words)
            operation = f"PIPELINE {words[0]}" if len(set(words)) == 1 else "PIPELINE"
        else:
            operation = _SEARCH.get(" ".join(words), " ".join(words))
        operation = operation[:_LONGEST_NAME] or "redis"
        kept["db.system.name"] = "redis"
        kept["db.operation.name"] = operation
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


def instrument() -> None:
    contrib: Any = import_module("opentelemetry.instrumentation.redis")
    describe_pipeline = contrib._build_span_meta_data_for_pipeline  # noqa: SLF001

    def describe_any_pipeline(instance: Any) -> tuple[list[Any], str, str]:
        try:
            return describe_pipeline(instance)  # type: ignore[no-any-return]
        except Exception:  # commands given as bytes are more than it expects
            return [], "", "PIPELINE"

    contrib._build_span_meta_data_for_pipeline = describe_any_pipeline  # noqa: SLF001
    contrib.RedisInstrumentor().instrument(skip_dep_check=True, tracer_provider=ClientTracerProvider(RedisRules()))
