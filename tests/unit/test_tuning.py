"""OTELBOT_TUNE names what is done to a bot; it is done to functions that are known."""

from __future__ import annotations

import pytest

from otelbot.settings import TUNE_PARTS, Settings
from otelbot.tuning.known import is_known

ALL = frozenset(TUNE_PARTS)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", ALL),
        ("all", ALL),
        (" All ", ALL),
        ("gc,all", ALL),
        ("none", frozenset()),
        ("off", frozenset()),
        ("false", frozenset()),
        ("gc", {"gc"}),
        ("responses, GC,", {"responses", "gc"}),
        (",".join(TUNE_PARTS), ALL),
    ],
)
def test_parts_are_named_one_by_one_or_all_at_once(value, parts):
    settings = Settings.from_environ({"OTELBOT_TUNE": value})
    assert (settings.tune, settings.problems) == (parts, ())


@pytest.mark.parametrize(("value", "wrong"), [("gc,turbo", "turbo"), ("none,gc", "none"), ("gc responses", "gc resp")])
def test_a_part_that_does_not_exist_is_one_sentence_that_names_those_that_do(value, wrong):
    settings = Settings.from_environ({"OTELBOT_TUNE": value})
    (problem,) = settings.problems
    assert settings.tune == ALL
    assert f"has '{wrong}" in str(problem)
    assert str(problem).endswith(f"of all, none, {', '.join(TUNE_PARTS)}; using the default, all")


def greet(names: list[str], *, loud: bool = False) -> list[str]:
    """Greet all of them.

    In the order in which they came.
    """
    return [f"hello {name.upper() if loud else name}" for name in names if isinstance(name, str)]


SOURCE = '''
def greet(names, *, loud=False):
    """
    …
    """
    return [f"hello {name.upper() if loud else name}" for name in names if isinstance(name, str)]
'''


def test_a_function_is_known_by_its_source():
    assert is_known(greet, SOURCE)
    assert is_known(greet, "def greet(): pass", SOURCE)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("hello", "good bye"),
        ("name.upper", "name.lower"),
        ("isinstance(name, str)", "isinstance(name, int)"),
        ("*, loud", "loud"),
        ("return", "yield"),
        ("in names if", "in names[1:] if"),
    ],
)
def test_a_function_that_has_been_changed_is_not_known(was, becomes):
    assert not is_known(greet, SOURCE.replace(was, becomes))


@pytest.mark.parametrize("function", [None, len, staticmethod(greet), object()])
def test_what_is_no_function_of_python_is_not_known(function):
    assert not is_known(function, SOURCE)
