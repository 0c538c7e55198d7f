"""`otelbot.timed` takes what people put it on, and says what it can't."""

from __future__ import annotations

import functools

import pytest

import otelbot


def test_what_has_no_name_of_its_own_is_timed_by_its_class():
    assert otelbot.timed(functools.partial(int, base=2))("101") == 5


def test_a_generator_is_refused_with_what_to_do():
    def rows():
        yield 1

    with pytest.raises(TypeError, match=r"rows is a generator, which runs in pieces: use `with otelbot.timed"):
        otelbot.timed(rows)


def test_a_function_keeps_its_name_and_its_result():
    @otelbot.timed
    def brew(cups: int) -> int:
        """Makes tea."""
        return cups

    assert (brew(3), brew.__name__, brew.__doc__) == (3, "brew", "Makes tea.")
