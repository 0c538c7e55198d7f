"""The numbers of resources and scopes, remembered: nearly every request brings the same ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from otelbot import signals
from otelbot.dashboard.otlp.values import attributes, text

if TYPE_CHECKING:
    import sqlite3

    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_MOST = 5_000
#: ns between two notes of when something of a resource last came.
NOTED_EACH = 60 * 10**9


class Ids:
    """Of one connection. After a rollback `forget()`, because what was remembered is not there."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._resources: dict[bytes, tuple[int, int]] = {}
        self._scopes: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        self._resources.clear()
        self._scopes.clear()

    def resource(self, resource: Resource, now: int) -> int:
        """:param now: ns since the epoch."""
        key = resource.SerializeToString()
        if (known := self._resources.get(key)) and known[1] + NOTED_EACH > now:
            return known[0]
        if len(self._resources) >= _MOST:
            self._resources.clear()
        values = attributes(resource.attributes)
        encoded = as_json(values, sort_keys=True)
        names = [
            values.get(name)
            for name in ("service.name", "service.instance.id", "deployment.environment.name", signals.BOT_USERNAME)
        ]
        identity = digest(encoded)
        self._db.execute(
            "INSERT INTO resources (digest, attributes, service, instance, environment, bot, last)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET last = excluded.last",
            (identity, encoded, *(None if name is None else str(name) for name in names), now),
        )
        ((number,),) = self._db.execute("SELECT id FROM resources WHERE digest = ?", (identity,)).fetchall()
        self._resources[key] = (number, now)
        return int(number)

    def scope(self, scope: InstrumentationScope) -> int:
        key = (text(scope.name), text(scope.version))
        if (known := self._scopes.get(key)) is not None:
            return known
        if len(self._scopes) >= _MOST:
            self._scopes.clear()
        self._db.execute("INSERT OR IGNORE INTO scopes (name, version) VALUES (?, ?)", key)
        ((number,),) = self._db.execute("SELECT id FROM scopes WHERE name = ? AND version = ?", key).fetchall()
        self._scopes[key] = number
        return int(number)


def as_json(value: Any, *, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)


def digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()
