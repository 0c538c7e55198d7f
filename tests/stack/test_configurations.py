"""The programs themselves check the files that the tests give them."""

from __future__ import annotations

import pytest

from tests.stack.services import Collector, Prometheus, check

pytestmark = pytest.mark.needs("stack")


@pytest.mark.parametrize("prometheus_url", [None, "http://127.0.0.1:9090"])
async def test_the_collector_accepts_its_configuration(tmp_path, prometheus_url):
    assert await Collector(tmp_path, prometheus_url).validate() == (0, "")


async def test_promtool_accepts_the_configuration(tmp_path):
    status, output = await check("promtool", "check", "config", str(Prometheus(tmp_path).write_config()))
    assert status == 0, output
    assert "SUCCESS" in output
