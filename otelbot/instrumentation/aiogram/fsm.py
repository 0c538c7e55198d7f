"""What a conversation does to its state, and which update came before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otelbot import signals
from otelbot.instrumentation.aiogram.conversations import link
from otelbot.instrumentation.aiogram.updates import current_scope
from otelbot.instrumentation.patching import Patches, never_raises

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otelbot.instrumentation.aiogram.telemetry import Telemetry


def conversation_key(context: Any) -> Any:
    """Return what a `StorageKey` says, as a tuple, which is hashed and compared without Python code of a dataclass.

    None is for a context of the bot's own that has no key.
    """
    key = getattr(context, "key", None)
    return tuple(vars(key).values()) if hasattr(key, "__dict__") else key


@never_raises
def enter_conversation(telemetry: Telemetry, data: Mapping[str, Any]) -> None:
    """Note the state in which an update found its conversation, and link the update to the one before."""
    scope = current_scope.get()
    if scope is None or scope.entered:
        return
    scope.entered = True
    context, chat, user = data.get("state"), data.get("event_chat"), data.get("event_from_user")
    if context is None and chat is None and user is None:
        return
    key = conversation_key(context)
    if key is None:
        key = scope.bot_id, getattr(chat, "id", None), getattr(user, "id", None)
    conversation = telemetry.conversations.enter(key, data.get("raw_state"))
    if scope.span.is_recording():
        link(conversation, scope.span)


_declared: set[str] = set()


def _is_declared(name: str) -> bool:
    if name not in _declared:
        _declared.update(_declared_names())
    return name in _declared


def _declared_names() -> Iterator[str]:
    """Yield the states that the bot's code declares: those of its groups and scenes."""
    from aiogram.fsm.scene import Scene
    from aiogram.fsm.state import StatesGroup

    groups = [StatesGroup]
    for group in groups:
        groups += group.__subclasses__()
        yield from (name for name in group.__all_states_names__ if name)
    scenes = [Scene]
    for scene in scenes:
        scenes += scene.__subclasses__()
        state = getattr(getattr(scene, "__scene_config__", None), "state", None)
        if state:
            yield str(state)


def state_name(state: Any) -> str:
    """Return what a state is called on a metric: a name that the bot's code declares, `none` or `other`."""
    name = getattr(state, "state", state)
    if name is None:
        return signals.NO_STATE
    declared = getattr(state, "_group", None) is not None or _is_declared(str(name))
    return str(name) if declared else signals.OTHER


@never_raises
def _changed(telemetry: Telemetry, context: Any, state: Any) -> None:
    key = conversation_key(context)
    known = telemetry.conversations.get(key)
    before = signals.OTHER if known is None else state_name(known.state)
    after = state_name(state)
    telemetry.conversations.enter(key, getattr(state, "state", state))
    if before == after != signals.OTHER:
        return  # e.g. `clear()` where there was no state
    before, after = telemetry.cap_state(before), telemetry.cap_state(after)
    span = trace.get_current_span()
    telemetry.fsm_transitions.add(1, (before, after), span)
    if span.is_recording():
        span.add_event(signals.FSM_EVENT, {signals.FSM_FROM: before, signals.FSM_TO: after})


def patch(patches: Patches, telemetry: Telemetry) -> None:
    from aiogram.fsm.context import FSMContext
    from aiogram.fsm.middleware import FSMContextMiddleware

    def middleware(original: Any) -> Any:
        # Neither is a coroutine of its own: each of those costs whenever the handler waits.
        def call(self: Any, handler: Any, event: Any, data: Any) -> Any:
            def entered(event: Any, data: Any) -> Any:
                enter_conversation(telemetry, data)
                return handler(event, data)

            return original(self, entered, event, data)

        return call

    def set_state(original: Any) -> Any:
        async def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, *args, **kwargs)
            _changed(telemetry, self, args[0] if args else kwargs.get("state"))
            return result

        return change

    patches.method(FSMContext, "set_state", set_state)
    patches.method(FSMContextMiddleware, "__call__", middleware)
