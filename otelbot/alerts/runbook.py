"""What to do when an alert fires: the texts of docs/runbooks, which the wheel has beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otelbot.alerts.rule import Rule


@cache
def runbook(rule: Rule) -> str:
    """Return a rule's runbook as Markdown.

    :raises OSError: where the installation lacks it.
    """
    here = Path(__file__).resolve()
    folders = (here.parent / "runbooks", here.parents[2] / "docs" / "runbooks")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return (folder / rule.runbook).read_text(encoding="utf-8")
