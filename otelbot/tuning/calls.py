"""What aiogram does for each handler and each API call, in fewer steps: parts of `OTELBOT_TUNE`, see docs/tuning.md.

What does not look as it is known is left as it is.
"""

from __future__ import annotations

import functools
from itertools import repeat
from operator import attrgetter
from typing import Any
from urllib.parse import quote_plus

from otelbot.tuning.known import is_known

_WRAP_MIDDLEWARES = """
import functools

def wrap_middlewares(middlewares, handler):
    @functools.wraps(handler)
    def handler_wrapper(event: TelegramObject, kwargs: dict[str, Any]) -> Any:
        return handler(event, **kwargs)

    middleware = handler_wrapper
    for m in reversed(middlewares):
        middleware = functools.partial(m, middleware)
    return middleware
"""
_BUILD_FORM_DATA = """
def build_form_data(self, bot, method):
    form = FormData(quote_fields=False)
    files: dict[str, InputFile] = {}
    for key, value in method.model_dump(warnings=False).items():
        value = self.prepare_value(value, bot=bot, files=files)
        if not value:
            continue
        form.add_field(key, value)
    for key, value in files.items():
        form.add_field(
            key,
            value.read(bot),
            filename=value.filename or key,
        )
    return form
"""
_GEN_FORM_URLENCODED = """
import payload

def _gen_form_urlencoded(self):
    data = []
    for type_options, _, value in self._fields:
        data.append((type_options["name"], value))
    charset = self._charset if self._charset is not None else "utf-8"
    if charset == "utf-8":
        content_type = "application/x-www-form-urlencoded"
    else:
        content_type = "application/x-www-form-urlencoded; charset=%s" % charset
    return payload.BytesPayload(
        urlencode(data, doseq=True, encoding=charset).encode(),
        content_type=content_type,
    )
"""


def wrap_handlers() -> bool:
    """Have middlewares put around a handler without Python's own way of `functools.wraps`. Returns whether they are.

    aiogram does so four times for an update, and the handler's name, documentation and so on are copied one by one.
    """
    from aiogram.dispatcher.middlewares.manager import MiddlewareManager

    original: Any = getattr(vars(MiddlewareManager).get("wrap_middlewares"), "__func__", None)
    if not is_known(original, _WRAP_MIDDLEWARES, _WRAP_MIDDLEWARES.replace("dict", "Dict")):  # before 3.24
        return False
    names = functools.WRAPPER_ASSIGNMENTS
    read = attrgetter(*names)

    @functools.wraps(original)
    def wrap_middlewares(middlewares: Any, handler: Any) -> Any:
        def handler_wrapper(event: Any, kwargs: dict[str, Any]) -> Any:
            return handler(event, **kwargs)

        try:
            any(map(setattr, repeat(handler_wrapper), names, read(handler)))  # a loop that is run in C
            vars(handler_wrapper).update(handler.__dict__)
        except AttributeError:  # neither a function nor a method
            return original(middlewares, handler)
        vars(handler_wrapper)["__wrapped__"] = handler
        # The list behind it is walked in C.
        inside_out = middlewares._middlewares if type(middlewares) is MiddlewareManager else middlewares  # noqa: SLF001
        middleware: Any = handler_wrapper
        for each in reversed(inside_out):
            middleware = functools.partial(each, middleware)
        return middleware

    MiddlewareManager.wrap_middlewares = staticmethod(wrap_middlewares)  # type: ignore[method-assign]
    return True


def lean_forms() -> bool:
    """Have the forms of API calls built without asking for absent values, and without a boundary that no file needs.

    Returns whether they are. Most of a method's values are absent; a boundary takes a UUID and a set of headers; texts
    are quoted for the form by a table of bytes.
    """
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.session.base import BaseSession

    original: Any = vars(AiohttpSession).get("build_form_data")
    prepare_value: Any = BaseSession.prepare_value
    form_class = _form_class()
    if form_class is None or not is_known(original, _BUILD_FORM_DATA):
        return False
    if prepare_value(None, None, bot=None, files={}) is not None:  # it must be the same to leave them out
        return False
    if prepare_value(None, "text", bot=None, files={}) != "text":
        return False

    @functools.wraps(original)
    def build_form_data(self: Any, bot: Any, method: Any) -> Any:
        prepare = self.prepare_value
        if getattr(prepare, "__func__", None) is not prepare_value:  # this session has its own way
            return original(self, bot, method)
        form = form_class()
        files: dict[str, Any] = {}
        for key, value in method.model_dump(warnings=False).items():
            if value is None:
                continue
            prepared = value if type(value) is str else prepare(value, bot=bot, files=files)
            if prepared:
                form.add_text(key, prepared)
        for key, value in files.items():
            form.add_field(key, value.read(bot), filename=value.filename or key)
        return form

    AiohttpSession.build_form_data = build_form_data  # type: ignore[method-assign]
    return True


def _form_class() -> Any:
    """Return an aiohttp `FormData(quote_fields=False)` that makes its multipart writer when it is asked for it.

    None where aiohttp's is not as it is known.
    """
    from aiohttp import BytesPayload, FormData, MultipartWriter
    from multidict import MultiDict

    empty = dict(vars(FormData(quote_fields=False)))
    writer, fields = empty.pop("_writer", None), empty.pop("_fields", None)
    if type(writer) is not MultipartWriter or fields != [] or not all(type(each) in _FLAT for each in empty.values()):
        return None
    known = FormData(quote_fields=False)
    known.add_field("name", "text")
    if known._fields != [(MultiDict({"name": "name"}), {}, "text")]:
        return None
    if not is_known(vars(FormData).get("_gen_form_urlencoded"), _GEN_FORM_URLENCODED):
        return None

    class Form(FormData):
        def __init__(self) -> None:
            self.__dict__.update(empty)
            self._fields = []

        @functools.cached_property
        def _writer(self) -> MultipartWriter:  # type: ignore[override]
            return FormData(quote_fields=False)._writer  # noqa: SLF001

        def add_text(self, name: str, value: Any) -> None:
            """Do what `add_field` does, without looking whether a text is a file."""
            if type(value) is str and name.isidentifier():  # which is safe in a header
                self._fields.append((MultiDict({"name": name}), {}, value))
            else:
                self.add_field(name, value)

        def _gen_form_urlencoded(self) -> BytesPayload:
            if self._charset is not None or not all(type(value) is str for _, _, value in self._fields):
                return super()._gen_form_urlencoded()
            body = "&".join([f"{_quoted(options['name'])}={_quoted(value)}" for options, _, value in self._fields])
            return BytesPayload(body.encode(), content_type="application/x-www-form-urlencoded")

    return Form


_FLAT = (bool, str, type(None))
#: What `quote_plus` of `urllib.parse` makes of each byte. It makes a list of them for each text that it quotes.
_quoted_byte = [quote_plus(bytes((byte,))) for byte in range(256)].__getitem__


def _quoted(text: str) -> str:
    """Return what `quote_plus` does, in half of the time."""
    if text.isalnum() and text.isascii():
        return text
    return "".join(map(_quoted_byte, text.encode()))
