"""A folder for a stack, and ports that nobody uses."""

from __future__ import annotations

import socket

import pytest

from tests.integration.stack_command.runner import Stack


@pytest.fixture
def stack(tmp_path):
    probes = [socket.socket() for _ in range(3)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return Stack(tmp_path, ports)
