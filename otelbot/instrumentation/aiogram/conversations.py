"""Which update came before in the same conversation."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from opentelemetry.trace import Span, SpanContext

_MOST_CONVERSATIONS = 5_000


class Conversations:
    """The last update of each conversation, the least recent forgotten past a bound."""

    def __init__(self) -> None:
        self._last: OrderedDict[Hashable, SpanContext] = OrderedDict()

    def link(self, key: Hashable, span: Span) -> None:
        """Link `span` to the update before it in the conversation `key`, and have the next one linked to it."""
        before = self._last.pop(key, None)
        self._last[key] = span.get_span_context()
        if before is not None:
            span.add_link(before)
        if len(self._last) > _MOST_CONVERSATIONS:
            self._last.popitem(last=False)
