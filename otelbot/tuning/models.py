"""Costs that aiogram's pydantic models have and need not: parts of `OTELBOT_TUNE`, see docs/tuning.md.

What does not look as it is known is left as it is.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from otelbot.tuning.known import is_known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiogram.types.base import UNSET_TYPE  # noqa: TC004 - `_remove_unset` has it where it runs

#: More than the Bot API has methods; who parametrizes `Response` without end gets the rest from pydantic.
_MOST_RESPONSES = 250
#: aiogram's own `model_post_init`: notes the bot.
_NOTE_THE_BOT = """
def model_post_init(self, _BotContextController__context):
    self._bot = _BotContextController__context.get("bot") if _BotContextController__context else None
"""
_REMOVE_UNSET = '''
def remove_unset(cls, values):
    """
    …
    """
    if not isinstance(values, dict):
        return values
    return {k: v for k, v in values.items() if not isinstance(v, UNSET_TYPE)}
'''


def keep_responses() -> bool:
    """Have aiogram's `Response[T]` kept once it is made. Returns whether it is.

    aiogram parametrizes it for each answer of the Bot API; pydantic keeps what it makes by a weak reference only, so
    every garbage collection frees it, and the next answer waits for 1 to 5 ms until it is made again.
    """
    from aiogram.methods import Response

    make = Response.__class_getitem__.__func__  # type: ignore[attr-defined]
    # By identity: equal types may differ, such as a union in another order. What is kept keeps its identity.
    kept: dict[int, tuple[Any, Any]] = {}

    @wraps(make)
    def class_getitem(cls: type, item: Any) -> Any:
        if cls is not Response:
            return make(cls, item)
        found = kept.get(id(item))
        if found is not None:
            return found[1]
        made = make(cls, item)
        if len(kept) < _MOST_RESPONSES:
            kept[id(item)] = item, made
        return made

    Response.__class_getitem__ = classmethod(class_getitem)  # type: ignore[assignment, method-assign]
    return True


def flatten_models() -> bool:
    """Have each of aiogram's models initialized once instead of once for each of its ancestors. Returns whether it is.

    Every class below `BotContextController` gets from pydantic a `model_post_init` around its parent's, and each of
    them looks for the private attributes that the first one has to make: a third of the time of parsing a message.
    """
    from aiogram.client.context_controller import BotContextController
    from pydantic import BaseModel

    slot: Any = vars(BaseModel).get("__pydantic_private__")
    code: Any = getattr(vars(BotContextController).get("model_post_init"), "__code__", None)
    if slot is None or code is None:
        return False
    # What is taken apart does these two things and nothing else.
    if (code.co_names, code.co_freevars) != (("init_private_attributes",), ("original_model_post_init",)):
        return False
    mount = _bottom(BotContextController, code)
    if not is_known(mount, _NOTE_THE_BOT):
        return False

    @wraps(mount)
    def post_init(self: Any, context: Any) -> None:
        try:
            private = slot.__get__(self)
        except AttributeError:
            private = None
        if private is None:
            slot.__set__(self, {"_bot": context.get("bot") if context else None})  # what comes of {} and `mount`
        else:
            mount(self, context)

    flattened = [
        model
        for model in _below(BotContextController)
        if model is not BotContextController
        and model.__module__.startswith("aiogram.")
        and _bottom(model, code) is mount
        and _has_the_bot_only(model)
        and model.__setattr__ is BaseModel.__setattr__
    ]
    for model in flattened:
        model.model_post_init = post_init
    return bool(flattened)


def skip_unset() -> bool:
    """Have the values of a model looked through for `UNSET` at once, not one by one. Returns whether they are.

    It is done before each validation of each model, and there is hardly ever one among them.
    """
    from aiogram.methods.base import TelegramMethod
    from aiogram.types.base import TelegramObject

    functions = [getattr(each.remove_unset, "__func__", None) for each in (TelegramObject, TelegramMethod)]
    if not all(is_known(function, _REMOVE_UNSET) for function in functions):
        return False
    for function in functions:
        # pydantic has the function itself in its validators, in the models that are built already.
        function.__code__ = _remove_unset.__code__  # type: ignore[union-attr]
    return True


def _remove_unset(_cls: Any, values: Any) -> Any:  # it runs as a function of aiogram's modules, which have the type
    if type(values) is dict and UNSET_TYPE not in map(type, values.values()):
        return values.copy()
    if not isinstance(values, dict):
        return values
    return {k: v for k, v in values.items() if not isinstance(v, UNSET_TYPE)}


def _below(model: Any) -> Iterator[Any]:
    seen: set[type] = set()
    waiting = [model]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            yield current
            waiting.extend(current.__subclasses__())


def _bottom(model: Any, code: object) -> Any:
    """Return the function below those of `code` that are the model's own `model_post_init`, or None without any."""
    function: Any = vars(model).get("model_post_init")
    if getattr(function, "__code__", None) is not code:
        return None
    while getattr(function, "__code__", None) is code:
        function = function.__closure__[0].cell_contents
    return function


def _has_the_bot_only(model: Any) -> bool:
    """Whether `_bot` is the only private attribute, and has no default, so that all of them together begin as {}."""
    from pydantic_core import PydanticUndefined

    attributes = model.__private_attributes__
    return list(attributes) == ["_bot"] and attributes["_bot"].get_default() is PydanticUndefined
