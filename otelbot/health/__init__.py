"""Whether the bot is well: checks beside each other, and an endpoint that says what they found.

It costs a bot nothing that does not set OTELBOT_HEALTH_PORT: only `checks.py` and what it needs are imported then.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from otelbot import lifecycle, resource, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otelbot.health.checks import Check
    from otelbot.health.service import Service

_service: Service | None = None


def start(sources: Sequence[Callable[[], Iterable[Check]]]) -> None:
    """Run checks and serve what they found, in this process and in those that it forks.

    :param sources: asked at each run for the checks that there are now, in a thread.
    """
    global _service  # noqa: PLW0603 - one process, one port
    # What the threads need is imported here: not in them, and not on the bot's loop.
    from otelbot.health.service import Service

    current = settings.current()
    workers = resource.has_workers(sys.orig_argv)
    _service = service = Service(sources, current.health_host, current.health_port, current.health_interval)
    lifecycle.before_end(service.stop)
    if workers:
        service.is_worker = True
        lifecycle.when_working(service.start)  # a master would answer for a bot that is not there
    else:
        service.start()
    lifecycle.when_working(service.ready)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _after_fork_in_child(service))


def _after_fork_in_child(service: Service) -> None:
    """A child has the parent's listening socket, none of its threads, and a bot to answer for only once it works."""
    service.after_fork_in_child()
    lifecycle.when_working(service.start)
    lifecycle.when_working(service.ready)
