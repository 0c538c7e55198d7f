"""No token, in any form, and nothing that users wrote survives the scrubber; everything else does."""

from __future__ import annotations

import string
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot import privacy
from otelbot.privacy import exception_message, hash_user, register_secret, scrub, stack_trace

TOKEN = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0"
KEY = TOKEN.partition(":")[2]
tokens = st.builds(
    "{}:{}".format,
    st.integers(10**5, 10**11),
    st.text(string.ascii_letters + string.digits + "_-", min_size=35, max_size=35),
)


@given(tokens, st.text(), st.text())
def test_a_token_is_masked_wherever_it_stands(token, before, after):
    for form in (token, quote(token, safe=""), quote(quote(token, safe=""), safe=""), token.replace(":", "%3a")):
        scrubbed = scrub(f"{before} {form}/{after}")
        assert form not in scrubbed
        assert "***" in scrubbed


@given(st.text(alphabet=string.ascii_letters + " .,;/()-", max_size=400))
def test_other_texts_are_left_alone(text):
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text", ["at 12:30:45", "10.0.0.1:5432", "2026-11-22T10:00:00", "https://example.com:8080/a", ""]
)
def test_times_and_addresses_are_no_tokens(text):
    assert scrub(text) == text


@pytest.fixture
def no_secrets(monkeypatch):
    monkeypatch.setattr(privacy, "_secrets", set())
    monkeypatch.setattr(privacy, "_keys", set())
    monkeypatch.setattr(privacy, "_key_lengths", set())
    monkeypatch.setattr(privacy, "_secret_pattern", None)
    privacy._scrub_short.cache_clear()
    yield
    privacy._scrub_short.cache_clear()


def test_a_registered_secret_is_masked_in_every_form(no_secrets):
    assert scrub("42:TEST") == "42:TEST"
    register_secret("42:TEST")
    register_secret("hook secret/1")
    register_secret(TOKEN)
    assert scrub("bot42:TEST/getMe") == "bot***/getMe"
    assert scrub("bot42%3ATEST and 42%3atest") == "bot*** and ***"
    assert scrub("hook%20secret%2F1") == "***"
    assert KEY not in scrub(f"only the key: {KEY}")
    for glued in (f"%2Fhook%2F{KEY}", f"\\n{KEY}", f"123456789_{KEY}-log_{KEY}", f"%25253A{KEY}"):
        assert KEY not in scrub(glued)
        assert scrub(glued).startswith(glued[:2])


def test_what_makes_a_webhooks_url_hard_to_guess_is_a_secret(no_secrets):
    privacy.register_secret_url(
        "https://me:pass7word@bot.example.com/hooks/Xk29dkf0-sdk-f023kdf?key=qs3cret9&env=production"
    )
    told = scrub("POST /hooks/Xk29dkf0-sdk-f023kdf?key=qs3cret9&env=production pass7word")
    assert told == "POST /hooks/***?key=***&env=production ***"
    assert scrub("bot.example.com hooks key") == "bot.example.com hooks key"


@pytest.mark.parametrize(
    ("text", "secret", "kept"),
    [
        ("duplicate key\nDETAIL:  Key (email)=(ada@x.io) already exists.", "ada@x.io", "duplicate key"),
        ("bad\nDETAIL:  two\nlines of Ada\nHINT:  try again", "Ada", "HINT:  try again"),
        ("Flood control exceeded on method 'SendMessage' in chat 777000777. Retry in 5 s.", "777000777", "Retry in 5"),
        ("Flood control exceeded on method x in chat @ada. Retry", "@ada", "Retry"),
        ("The group has been migrated to a supergroup with id -1009 from 777000777", "777000777", "migrated"),
        ("Failing row contains (1, hi :). of Ada, 5).", "Ada", "Failing row contains"),
        ("[type=x, input_value=['a]', 'Ada'], input_type=list]", "Ada", "input_type=list"),
        ("invalid input for query argument $1: 'Ada' (an integer is required)", "Ada", "query argument $1"),
        ('invalid input syntax for type integer: "Ada"', "Ada", "type integer"),
        (
            "Failed to decode\nCaused from error: json.JSONDecodeError: Ada\nContent: {'text': 'Ada'}",
            "Ada",
            "json.JSONDecodeError",
        ),
        ("Input should be int [type=int, input_value='Ada', input_type=str]", "Ada", "input_type=str"),
        ('Detected unknown update type.\nUpdate: {"text":"Ada"}', "Ada", "unknown update type"),
    ],
)
def test_what_libraries_repeat_of_users_is_masked(text, secret, kept):
    assert secret not in scrub(text)
    assert kept in scrub(text)


def test_exceptions_are_told_without_values():
    import pydantic
    from aiogram.exceptions import ClientDecodeError, TelegramBadRequest
    from aiogram.methods import SendMessage

    class Order(pydantic.BaseModel):
        amount: int

    with pytest.raises(pydantic.ValidationError) as caught:
        Order.model_validate({"amount": "Ada's secret"})
    assert exception_message(caught.value) == "1 invalid: amount"

    decode = ClientDecodeError("Failed to deserialize object", caught.value, {"text": "Ada"})
    assert exception_message(decode) == "Failed to deserialize object"

    refused = TelegramBadRequest(SendMessage(chat_id=1, text="x"), 'Bad Request: can\'t find end of "<b>Ada" entity')
    assert "Ada" not in exception_message(refused)
    assert "Bad Request: can" in exception_message(refused)


def test_database_errors_are_told_by_their_state_and_what_they_name():
    import asyncpg

    unique = asyncpg.UniqueViolationError('duplicate key: "Ada"')
    unique.detail = "Key (email)=(ada@x.io) already exists."
    unique.constraint_name, unique.table_name = "users_email_key", "users"
    assert exception_message(unique) == "SQLSTATE 23505 (constraint users_email_key, table users)"
    assert exception_message(asyncpg.PostgresSyntaxError('syntax error at or near "Ada"')) == "SQLSTATE 42601"
    assert exception_message(asyncpg.DataError("invalid input for query argument $1: 'Ada'")) == "SQLSTATE 22000"


def test_what_a_database_error_came_from_is_told_by_type():
    import asyncpg

    def fail():
        try:
            raise ValueError("'Ada' does not appear to be an IPv4 or IPv6 address")
        except ValueError as error:
            raise asyncpg.DataError("invalid input for query argument $1") from error

    with pytest.raises(asyncpg.DataError) as caught:
        fail()
    assert "Ada" not in stack_trace(caught.value).replace("raise ValueError(\"'Ada'", "")
    assert "ValueError: ***" in stack_trace(caught.value)


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (lambda text: {}[text], "***"),
        (lambda text: {}[42], "***"),
        (int, "invalid literal for int() with base 10: ***"),
        (float, "could not convert string to float: ***"),
        (lambda text: None.answer, "'NoneType' object has no attribute 'answer'"),
    ],
)
def test_what_python_itself_repeats_of_users_is_masked(fail, told):
    with pytest.raises((LookupError, ValueError, AttributeError)) as caught:
        fail("it's Ada")
    assert exception_message(caught.value) == told


def test_the_words_of_a_bots_own_exceptions_stay():
    class NoTeaError(ValueError):
        pass

    assert exception_message(NoTeaError("'green' is sold out")) == "'green' is sold out"
    assert exception_message(RuntimeError("can't brew 'green'")) == "can't brew 'green'"
    assert exception_message(ValueError("can't brew, don't ask")) == "can't brew, don't ask"


def test_redis_errors_are_told_by_their_code():
    import redis

    assert exception_message(redis.ResponseError("WRONGTYPE Operation against a key")) == "WRONGTYPE"
    repeated = redis.ResponseError("Command # 2 (LPUSH Ada Ada) of pipeline caused error: WRONGTYPE Operation")
    assert exception_message(repeated) == "ResponseError"
    assert "Ada" not in scrub(f"failed: {repeated}")
    assert "Ada" not in scrub("ERR unknown command `FOO`, with args beginning with: `Ada`")


def test_urls_in_errors_lose_all_but_their_host():
    import aiohttp

    error = aiohttp.ClientConnectionError("Cannot reach http://me:pw@api.example.com:80/users/Ada?phone=7999 now")
    assert exception_message(error) == "Cannot reach http://api.example.com:80/*** now"
    assert exception_message(aiohttp.InvalidURL("Ada")) == "InvalidURL"


def test_long_chains_and_groups_are_told():
    error = None
    for number in range(2000):
        outer = RuntimeError(str(number))
        outer.__cause__ = error
        error = outer
    assert "RuntimeError: 1999" in stack_trace(error)


def test_a_long_run_of_digits_is_looked_at_once():
    """Quadratic, this would take minutes."""
    assert scrub("7" * 500_000) == "7" * 500_000


def test_a_token_whose_end_was_cut_off_is_masked():
    assert scrub(f"https://api.telegram.org/bot{TOKEN[:24]}") == "https://api.telegram.org/bot***"
    assert scrub(f"bot{TOKEN[:24]}…") == "bot***…"


def test_a_stack_trace_shows_lines_and_causes_but_no_values(no_secrets):
    def fail():
        try:
            raise ConnectionError(f"https://api.telegram.org/bot{TOKEN}/getMe")
        except ConnectionError as error:
            raise RuntimeError("outer") from error

    with pytest.raises(RuntimeError) as caught:
        fail()
    text = stack_trace(caught.value)
    assert "in fail" in text
    assert "ConnectionError: https://api.telegram.org/bot***/getMe" in text
    assert text.rstrip().endswith("RuntimeError: outer")
    assert KEY not in text


def test_an_exception_that_can_not_be_printed_is_told():
    class Odd(Exception):
        def __str__(self):
            raise ValueError

    assert "Odd" in exception_message(Odd())


def test_user_hashes_join_one_user_and_hide_the_id():
    assert hash_user(42, "key") == hash_user(42, "key")
    assert hash_user(42, "key") != hash_user(43, "key")
    assert hash_user(42, "key") != hash_user(42, "other")
    assert len(hash_user(42, "key")) == 16


def test_what_sqlalchemy_was_given_is_not_told():
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine, ada = sqlalchemy.create_engine("sqlite://"), {"email": f"ada@{'private.example'}"}
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE users (email TEXT UNIQUE)"))
        insert = sqlalchemy.text("INSERT INTO users VALUES (:email)")
        connection.execute(insert, ada)
        with pytest.raises(sqlalchemy.exc.IntegrityError) as caught:
            connection.execute(insert, ada)
    assert exception_message(caught.value) == "(sqlite3.IntegrityError) UNIQUE constraint failed: users.email"
    assert "ada@private" not in stack_trace(caught.value)


def test_what_a_driver_of_postgresql_quotes_is_not_told():
    class UniqueViolation(Exception):
        pgcode, diag = "23505", SimpleNamespace(constraint_name="users_email_key", table_name="users", column_name=None)

    UniqueViolation.__module__ = "psycopg2.errors"
    error = UniqueViolation("DETAIL: Key (email)=(ada@private.example) already exists.")
    assert exception_message(error) == "SQLSTATE 23505 (constraint users_email_key, table users)"
