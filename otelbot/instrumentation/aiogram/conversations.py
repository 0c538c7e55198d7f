"""What is known of each conversation: which update came last, and in which state that left it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from opentelemetry.trace import Span, SpanContext

_MOST_CONVERSATIONS = 5_000


@dataclass(slots=True)
class Conversation:
    """`state` is aiogram's name of it, or None; it is as the storage or the bot's code said last."""

    state: Any
    last: SpanContext | None = None


class Conversations:
    """Conversations by what aiogram's `StorageKey` says, the least recent forgotten past a bound."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Conversation] = OrderedDict()

    def enter(self, key: Hashable, state: Any) -> Conversation:
        """Return the conversation of an update that found it in `state`."""
        known = self._known.pop(key, None) or Conversation(state)
        known.state = state
        self._known[key] = known
        if len(self._known) > _MOST_CONVERSATIONS:
            self._known.popitem(last=False)
        return known

    def get(self, key: Hashable) -> Conversation | None:
        return self._known.get(key)


def link(conversation: Conversation, span: Span) -> None:
    """Link `span` to the update before it, and have the next one linked to it."""
    if conversation.last is not None:
        span.add_link(conversation.last)
    conversation.last = span.get_span_context()
