"""Whether a function of aiogram is still the one that a part of `OTELBOT_TUNE` was written for."""

from __future__ import annotations

from types import CodeType
from typing import Any


def is_known(function: Any, *sources: str) -> bool:
    """Whether `function` has been compiled from one of `sources`; its signature's annotations don't count.

    A source is a `def` as it stands in aiogram, after the imports that it uses (a call is compiled by them), with any
    docstring where that has one, and with private names as the class mangles them.
    """
    code = getattr(function, "__code__", None)
    return isinstance(code, CodeType) and _shape(code) in [_shape(_compiled(source)) for source in sources]


def _compiled(source: str) -> CodeType:
    module = compile(source, "aiogram", "exec", dont_inherit=True)
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType))


def _shape(code: CodeType) -> Any:
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return code.co_code, names, arguments, [_constant(each) for each in code.co_consts]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _shape(value)
    # Docstrings and, before Python 3.11, the names of inner functions.
    return "…" if isinstance(value, str) and ("\n" in value or "<locals>" in value) else repr(value)
