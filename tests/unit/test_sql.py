"""SQL in telemetry holds no value and is named by its operation and target."""

from __future__ import annotations

import pytest

from otelbot.instrumentation.asyncpg import AsyncpgRules
from otelbot.instrumentation.sql import describe


@pytest.mark.parametrize(
    ("query", "text", "summary"),
    [
        ("SELECT * FROM users WHERE id = $1", "SELECT * FROM users WHERE id = $1", "SELECT users"),
        ("select name from users where name = 'O''Brien'", "select name from users where name = ?", "SELECT users"),
        ("INSERT INTO a.orders VALUES (1, -2.5, E'x\\'y')", "INSERT INTO a.orders VALUES (?, ?, ?)", "INSERT a.orders"),
        ("UPDATE t2024 SET v=7 WHERE k=$$Ada$$", "UPDATE t2024 SET v=? WHERE k=?", "UPDATE t2024"),
        ("/* Ada */ DELETE FROM x -- Ada", "DELETE FROM x", "DELETE x"),
        ("WITH a AS (SELECT 1 FROM b) INSERT INTO c SELECT * FROM a", None, "INSERT c"),
        ("SELECT 0x1F, 79_990_001, .5, 79990001122abc", "SELECT ?, ?, ?, ?", "SELECT"),
        ("SELECT 'it\\'s Ada', $a$ Ada", "SELECT ?", "SELECT"),
        ("INSERT INTO t VALUES (1, 'C:\\', 2), (3, 'Ada', 4)", "INSERT INTO t VALUES (?, ?", "INSERT t"),
        ("SELECT N'a\\b', 'Ada' FROM t", "SELECT ?, ? FROM t", "SELECT t"),
        ("/* x /* y */ Ada */ select 1", "select ?", "SELECT"),
        ("SELECT /* 1 /* 2 /* 3 /* 4 /* 5 */ Ada */ Ada", "SELECT", "SELECT"),
        ("BEGIN;", "BEGIN;", "BEGIN"),
        ("", "", "SQL"),
        ("CREATE TABLE IF NOT EXISTS teas (id int)", "CREATE TABLE IF NOT EXISTS teas (id int)", "CREATE teas"),
        ("SELECT 'unterminated Ada", "SELECT ?", "SELECT"),
        ('SELECT "Weird Column" FROM "My Table"', 'SELECT "Weird Column" FROM "My Table"', 'SELECT "My Table"'),
    ],
)
def test_describe(query, text, summary):
    statement = describe(query)
    if text is not None:
        assert statement.text == text
    assert statement.summary == summary


def test_the_pools_reset_makes_no_span():
    rules = AsyncpgRules()
    reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"
    assert rules.describe("SELECT", {"db.query.text": reset}) is None
    assert rules.describe("SELECT", {"db.query.text": "SELECT 1"}) is not None
