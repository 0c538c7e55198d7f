"""A bot's process pays nothing for the stack's commands."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import otelbot, otelbot.startup, otelbot.distro, otelbot.configurator, otelbot.launcher
heavy = ("otelbot.stack", "otelbot.alerts", "jsonschema", "yaml", "typer")
print(*(name for name in sys.modules if name.startswith(heavy)))
"""


def test_a_bots_process_imports_nothing_of_the_stack():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
