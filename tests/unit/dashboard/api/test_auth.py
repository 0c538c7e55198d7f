"""Which names are this machine's own."""

from __future__ import annotations

import pytest

from otelbot.dashboard.api.auth import PageOptions
from otelbot.dashboard.settings import is_loopback


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_names_and_addresses_of_this_machine_are_its_own(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "mylocalhost"],
)
def test_no_other_name_is(host):
    assert not is_loopback(host)


def test_a_page_for_other_machines_has_a_token():
    PageOptions("0.0.0.0", "secret-secret-secret")
    with pytest.raises(ValueError, match="OTELBOT_DASHBOARD_TOKEN"):
        PageOptions("0.0.0.0")
