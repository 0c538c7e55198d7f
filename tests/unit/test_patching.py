"""Replacing methods and putting them back."""

from __future__ import annotations

import logging
import sys

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


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The name of a module that can be imported, and has not been."""
    name = f"library_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("class Owner:\n    def greet(self):\n        return 'hello'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def patching_owner(patches, library):
    return lambda: patches.method(sys.modules[library].Owner, "greet", louder)


def test_what_is_not_imported_yet_is_patched_when_it_is_and_put_back(library):
    patches = Patches()
    patches.when_imported(library, patching_owner(patches, library))
    assert library not in sys.modules
    owner = __import__(library).Owner
    assert owner().greet() == "HELLO"
    patches.undo()
    assert owner().greet() == "hello"


def test_what_is_imported_is_patched_at_once(library):
    owner = __import__(library).Owner
    patches = Patches()
    patches.when_imported(library, patching_owner(patches, library))
    assert owner().greet() == "HELLO"


def test_what_is_imported_after_the_patches_were_undone_is_left_alone(library):
    patches = Patches()
    patches.when_imported(library, patching_owner(patches, library))
    patches.undo()
    assert __import__(library).Owner().greet() == "hello"


def test_a_patch_that_fails_late_does_not_fail_the_import(library, caplog):
    patches = Patches()
    patches.when_imported(library, lambda: patches.method(sys.modules[library].Owner, "nothing", louder))
    with caplog.at_level(logging.WARNING, "otelbot"):
        assert __import__(library).Owner().greet() == "hello"
    assert "the bot is not affected" in caplog.text


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
