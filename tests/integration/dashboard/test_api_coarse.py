"""Charts of many hours read fewer samples, and show the same."""

from __future__ import annotations

from itertools import pairwise

import pytest

from otelbot import signals
from otelbot.alerts.promql import grown, select, series
from otelbot.dashboard import promql
from otelbot.dashboard.api.evaluation import RESOLUTIONS
from otelbot.dashboard.api.panels.model import total
from otelbot.dashboard.store.series import Coarse, StoreSource
from tests.integration.dashboard.pages import BOT, counter, gauge, page

HOURS = 8
COUNT = HOURS * 240
AT = RESOLUTIONS["6h"]


async def newest(web):
    return await web.fed.store.read(lambda db: db.execute("SELECT max(time) FROM points").fetchone()[0]) / 1000


@pytest.mark.parametrize(
    "query",
    [
        grown(series(signals.COMMANDS), AT.window),
        grown(series(signals.COMMANDS), AT.bar),
        series(signals.PROCESS_UPTIME),
        f"last_over_time({series(signals.PROCESS_MEMORY)}[90s])",
    ],
)
async def test_points_at_whole_steps_are_the_same(tmp_path, query):
    values = [index * index % 977 for index in range(COUNT)]
    async with page(tmp_path) as web:
        await web.fed.send(
            "metrics",
            counter(signals.COMMANDS, *(index * 2 for index in range(COUNT)), command="start"),
            gauge(signals.PROCESS_UPTIME, *(15 * index + 1 for index in range(COUNT))),
            gauge(signals.PROCESS_MEMORY, *values),
            resource=BOT,
        )
        now = await newest(web)
        end = now // AT.bar_seconds * AT.bar_seconds

        def evaluated(db, coarse):
            source = StoreSource(db, coarse)
            return promql.range_query(select(query), source, end - 5 * 3600, end, AT.bar_seconds)

        fine = await web.fed.store.read(lambda db: evaluated(db, None))
        coarse = await web.fed.store.read(lambda db: evaluated(db, Coarse(now - 7200, AT.coarse)))
        assert fine
        assert coarse == fine


async def test_fewer_samples_are_read_and_none_of_a_new_beginning_is_lost(tmp_path):
    first, second = list(range(0, COUNT, 2)), list(range(0, COUNT, 2))
    async with page(tmp_path) as web:
        await web.fed.send("metrics", counter(signals.COMMANDS, *first, *second, command="start"), resource=BOT)
        matchers = [promql.Matcher("__name__", "=", "telegram_bot_commands_total")]
        now = 4e9
        (fine,) = await web.fed.store.read(lambda db: StoreSource(db).select(matchers, 0, now))
        (coarse,) = await web.fed.store.read(lambda db: StoreSource(db, Coarse(now, 300)).select(matchers, 0, now))
        assert len(fine.times) == COUNT
        assert len(coarse.times) < COUNT / 15
        assert coarse.times[-1] == fine.times[-1]
        resets = [before for before, after in pairwise(coarse.values) if after < before]
        assert resets == [first[-1]]


async def test_totals_of_a_day_are_the_same_within_what_is_left_out(tmp_path):
    async with page(tmp_path) as web:
        await web.fed.send(
            "metrics", counter(signals.COMMANDS, *range(COUNT), command="start"), gauge(signals.PROCESS_UPTIME, 99999.0)
        )
        query = select(f"sum({total(series(signals.COMMANDS), '6h')})")
        now = await newest(web)
        for coarse in (None, Coarse(now - 7200, AT.coarse)):
            (sample,) = await web.fed.store.read(
                lambda db, coarse=coarse: promql.instant(query, StoreSource(db, coarse), now)
            )
            assert sample.value == pytest.approx(6 * 240, abs=5)
