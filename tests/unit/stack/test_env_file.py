"""The stack's .env is read as Compose reads it, and what is written into it comes out again."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.stack import env


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=plain", "plain"),
        ("A = spaced ", "spaced"),
        ("export A=1", "1"),
        ("A=", ""),
        ("A=x # comment", "x"),
        ("A=a#b", "a#b"),
        ("A='x$y #z'", "x$y #z"),
        ('A="q \\"in\\" \\$D"', 'q "in" $D'),
        ('A="a\\\\b"', "a\\b"),
        ('A="it\'s"', "it's"),
        ("B=1\nA=pre${B}-post", "pre1-post"),
        ("A=${NOWHERE:-default}", "default"),
        ("A=\\$B", "\\"),
        ("A= # comment", "# comment"),
        ("A=x\t# no comment", "x\t# no comment"),
        ("A='it\\'s'", "it's"),
        ("A='a\\\\'", "a\\\\"),
        ("A='x' # comment", "x"),
        ("A=pa$$word", "pa$word"),
        ("A=5$ $5", "5$ $5"),
        ('A="pa$$word"', "pa$word"),
        ('A="a\\\\$$b\\tc"', "a\\$b\tc"),
        ("B=\nA=${B-default}", ""),
        ("B=\nA=${B:-default}", "default"),
        ("\ufeffA=1", "1"),
        ("A=1\nA=2", "2"),
        ("# A=1\n\nA=3", "3"),
    ],
)
def test_values_are_those_that_compose_makes_of_them(text, value, tmp_path):
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert env.load(tmp_path, {})["A"] == value


def test_the_environment_is_above_the_file_for_what_the_stack_knows(tmp_path):
    (tmp_path / ".env").write_text("BIND_ADDRESS=1\nLOKI_RETENTION=24h\n")
    (tmp_path / ".env.example").write_text("BIND_ADDRESS=127.0.0.1\n#GRAFANA_IMAGE=x\n")
    environ = {"BIND_ADDRESS": "2", "GRAFANA_IMAGE": "y", "PATH": "/bin", "COMPOSE_PROFILES": "host"}
    expected = {"BIND_ADDRESS": "2", "LOKI_RETENTION": "24h", "GRAFANA_IMAGE": "y", "COMPOSE_PROFILES": "host"}
    assert env.load(tmp_path, environ) == expected


def test_what_the_environment_has_empty_is_empty_for_compose_too(tmp_path):
    (tmp_path / ".env").write_text("LOKI_RETENTION=24h\n")
    assert env.load(tmp_path, {"LOKI_RETENTION": ""}) == {"LOKI_RETENTION": ""}


@pytest.mark.parametrize("text", ["A='open", 'A="open', "A='x\nB=1'"])
def test_an_open_quote_is_named_by_its_variable(text):
    with pytest.raises(env.EnvError, match=r"^A has a quote that does not end in its line"):
        env.parse(text)


def test_a_line_that_is_none_is_named_by_its_number_and_not_repeated():
    with pytest.raises(env.EnvError, match=r"^\.env, line 2: ") as raised:
        env.parse("A=1\nhunter2 hunter2\n")
    assert "hunter2" not in str(raised.value)


def test_text_behind_a_closing_quote_is_refused_because_compose_reads_it_as_another_line():
    with pytest.raises(env.EnvError, match=r"^A has text behind its closing quote"):
        env.parse("A='x'y\n")


@pytest.mark.parametrize("text", ["A=${", "A=${}", "A=${B:+x}", "A=${B:-${C}}", 'A="x${B?no}"', "A=hunter2${5}"])
def test_what_of_compose_is_not_understood_is_refused_and_not_taken_for_the_value(text):
    with pytest.raises(env.EnvError, match=r"^A has a \$\{ that is not understood") as raised:
        env.parse(text)
    assert "hunter2" not in str(raised.value)


def test_a_comment_directly_after_the_sign_is_found():
    assert env.commented("A= # one\nB=#two\nC=x # three\nD=#\nE=# four\n") == ["A", "D", "E"]


def test_a_dollar_that_compose_would_replace_is_found():
    assert env.expanding('A=pa$word\nB=\'pa$word\'\nC=pa$5\nD="x${E}"\nF="x\\$G"\nH=a$$b\n') == ["A", "D"]


def test_a_file_of_another_encoding_is_said(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(env.EnvError, match="UTF-8"):
        env.load(tmp_path, {})


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40).map(str.strip)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    text = env.update("A=old\nB=kept\n", {"A": value, "C": value})
    assert env.parse(text) == {"A": value, "B": "kept", "C": value}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\\", r'A="a\\"'),
        ("a\\b", r"A='a\b'"),
        ("it's $5", r'A="it\'s \$5"'.replace(r"\'", "'")),
        ('it\\\'s "x"', r'A="it\\' + "'" + r's \"x\""'),
    ],
)
def test_what_single_quotes_can_not_hold_is_escaped_in_double_ones(value, line):
    assert env.update("", {"A": value}) == f"{line}\n"
    assert env.parse(f"{line}\n") == {"A": value}


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_a_value_that_no_file_can_hold_is_refused_without_repeating_it(value):
    with pytest.raises(env.EnvError, match=r"^SMTP_PASSWORD has a ") as raised:
        env.update("", {"SMTP_PASSWORD": value})
    assert value not in str(raised.value)


def test_comments_and_order_are_kept():
    text = "# mine\nB=1\n\nA=2 # two\n"
    assert env.update(text, {"A": "3"}) == "# mine\nB=1\n\nA=3\n"


def test_secrets_are_written_for_their_owner_only(tmp_path):
    file = tmp_path / ".env"
    file.write_text("old")
    file.chmod(0o644)
    env.write_secret(file, "A=1\n")
    assert file.read_text() == "A=1\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
