"""Replacing methods and putting them back."""

from __future__ import annotations

import logging

import pytest

from otelbot.instrumentation.patching import Patches, never_raises


class Base:
    def greet(self):
        return "hello"


def louder(original):
    def greet(self):
        return original(self).upper()

    return greet


@pytest.fixture
def child():
    class Child(Base): ...

    return Child


def test_method_is_replaced_and_put_back():
    class Owner(Base):
        def greet(self):
            """Say it."""
            return "own"

    before = vars(Owner)["greet"]
    patches = Patches()
    patches.method(Owner, "greet", louder)
    assert Owner().greet() == "OWN"
    assert Owner.greet.__doc__ == "Say it."
    patches.undo()
    assert vars(Owner)["greet"] is before


def test_inherited_method_is_overridden_and_the_override_removed(child):
    patches = Patches()
    patches.method(child, "greet", louder)
    assert (child().greet(), Base().greet()) == ("HELLO", "hello")
    patches.undo()
    assert "greet" not in vars(child)
    assert child().greet() == "hello"


def test_what_somebody_else_put_on_top_stays(child):
    patches = Patches()
    patches.method(child, "greet", louder)
    theirs = child.greet = lambda _self: "theirs"
    patches.undo()
    assert child.greet is theirs


def test_method_that_does_not_exist_is_refused(child):
    with pytest.raises(AttributeError):
        Patches().method(child, "nothing", louder)


def test_fault_of_telemetry_is_reported_once_and_not_raised(caplog):
    @never_raises
    def broken():
        raise ValueError("a fault")

    with caplog.at_level(logging.WARNING, "otelbot"):
        assert broken() is None
        assert broken() is None
    (record,) = caplog.records
    assert "the bot is not affected" in record.getMessage()


def test_base_exceptions_pass():
    @never_raises
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
