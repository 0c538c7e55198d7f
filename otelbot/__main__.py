"""`python -m otelbot` is the `otelbot` command."""

from otelbot.cli import main

main()
