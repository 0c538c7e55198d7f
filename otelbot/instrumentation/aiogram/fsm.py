"""What a conversation does to its state, and which update came before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otelbot import signals
from otelbot.instrumentation.aiogram.updates import UpdateScope, current_scope
from otelbot.instrumentation.patching import Patches, never_raises

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otelbot.instrumentation.aiogram.telemetry import Telemetry


def enter_conversation(telemetry: Telemetry, scope: UpdateScope, event: Any, data: Mapping[str, Any]) -> None:
    """Note the state in which an update found its conversation, and link the update to the one before."""
    if scope.conversation is not None:
        return  # a second handler of the same update
    context = data.get("state")
    chat = getattr(getattr(event, "chat", None), "id", None)
    user = getattr(getattr(event, "from_user", None), "id", None)
    scope.conversation = getattr(context, "key", None) or (scope.bot_id, chat, user)
    scope.state = data.get("raw_state")
    if scope.span.is_recording() and scope.conversation != (scope.bot_id, None, None):
        telemetry.conversations.link(scope.conversation, scope.span)


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
    declared = name is not state or _is_declared(str(name))
    return str(name) if declared else signals.OTHER


@never_raises
def _changed(telemetry: Telemetry, context: Any, state: Any) -> None:
    scope = current_scope.get()
    own = scope is not None and scope.conversation == context.key
    before = state_name(scope.state) if scope is not None and own else signals.OTHER
    after = state_name(state)
    if scope is not None and own:
        scope.state = getattr(state, "state", state)
        if before == after != signals.OTHER:
            return  # e.g. `clear()` where there was no state
    attributes = {signals.FSM_FROM: telemetry.cap_state(before), signals.FSM_TO: telemetry.cap_state(after)}
    telemetry.fsm_transitions.add(1, attributes)
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(signals.FSM_EVENT, attributes)


def patch(patches: Patches, telemetry: Telemetry) -> None:
    from aiogram.fsm.context import FSMContext

    def set_state(original: Any) -> Any:
        async def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, *args, **kwargs)
            _changed(telemetry, self, args[0] if args else kwargs.get("state"))
            return result

        return change

    patches.method(FSMContext, "set_state", set_state)
