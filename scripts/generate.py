"""Writes everything that is derived from the code: `make generate`. Tests fail where it is not up to date."""

from __future__ import annotations

from pathlib import Path

import reference

from otelbot.stack import generate

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    reference.TARGET.write_text(reference.render(), encoding="utf-8")
    generate.write(ROOT)
