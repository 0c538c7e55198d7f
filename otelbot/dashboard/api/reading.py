"""The store's metrics for those who evaluate PromQL, beside the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from otelbot.dashboard.api.parameters import Refused
from otelbot.dashboard.promql import QueryError
from otelbot.dashboard.store.series import StoreSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from otelbot.dashboard.promql import Source
    from otelbot.dashboard.store import Store

T = TypeVar("T")


class Reader:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, work: Callable[[Source], T]) -> T:
        """Return what `work` makes of the store, in one of its threads.

        :raises Refused: for a query that is wrong.
        """
        try:
            return await self._store.read(lambda db: work(StoreSource(db)))
        except QueryError as error:
            raise Refused(str(error)) from None
