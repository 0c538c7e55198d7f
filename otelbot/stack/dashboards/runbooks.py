"""The runbooks of docs/runbooks/ as a dashboard, so that an alert links to its own wherever the stack runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot.alerts.render import RUNBOOKS
from otelbot.alerts.rules import RULES
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.panels import Panel

if TYPE_CHECKING:
    from pathlib import Path


def runbooks(folder: Path) -> Dashboard:
    """Return the dashboard of the pages in `folder`, a panel for each rule, in the order of `RULES`."""
    panels = tuple(
        Panel(
            rule.title.en,
            f"What to do when «{rule.title.en}» fires.",
            kind="text",
            width=24,
            height=14,
            body=_without_title((folder / rule.runbook).read_text(encoding="utf-8")),
        )
        for rule in RULES
    )
    return Dashboard(
        RUNBOOKS, "Runbooks", "What each alert means and what mends it.", (Row("", panels),), variables=False
    )


def runbook_panels() -> dict[str, int]:
    """Return, by the rule's uid, the id of the panel with its runbook."""
    return {rule.uid: number for number, rule in enumerate(RULES, 1)}


def _without_title(page: str) -> str:
    return page.partition("\n")[2].strip()
