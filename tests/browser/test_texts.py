"""The page's words: the same keys and placeholders in both languages, and none that is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import otelbot

PAGE = Path(otelbot.__file__).parent / "dashboard" / "page"


def texts(language: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((PAGE / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    return loaded


def test_both_languages_say_the_same():
    english, persian = texts("en"), texts("fa")
    assert english.keys() == persian.keys()
    for key, text in english.items():
        assert persian[key], key
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", persian[key])), key


@pytest.mark.parametrize("script", sorted(PAGE.glob("*.js")), ids=lambda path: path.name)
def test_every_text_that_a_script_asks_for_is_there(script):
    code = script.read_text(encoding="utf-8")
    asked = set(re.findall(r"""\bt\(["']([\w.]+)["']""", code))
    assert asked <= texts("en").keys()


@pytest.mark.parametrize("script", sorted(PAGE.glob("*.js")), ids=lambda path: path.name)
def test_no_script_parses_html_or_evaluates_text(script):
    code = script.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", code)
    assert "http://" not in code.replace("http://www.w3.org/2000/svg", "")
