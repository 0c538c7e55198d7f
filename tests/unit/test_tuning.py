"""OTELBOT_TUNE names what is done to a bot."""

from __future__ import annotations

import pytest

from otelbot.settings import TUNE_PARTS, Settings

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
    assert str(problem).endswith("of all, none, gc, models, responses, threads; using the default, all")
