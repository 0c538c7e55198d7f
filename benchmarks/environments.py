"""One virtual environment for each kind of variant, with pinned packages, made once and kept in the checkout."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_ENVIRONMENTS = ROOT / ".venv-bench"
_REQUIREMENTS = ROOT / "benchmarks" / "requirements"
_PATIENCE = 900  # seconds for pip


class EnvironmentSetupError(RuntimeError):
    """An environment can't be made; the text says what failed."""


def program(environment: str, name: str) -> Path:
    """Return where a program of an environment is."""
    return _ENVIRONMENTS / environment / "bin" / name


def prepare(environment: str) -> None:
    """Make the environment unless it is there and as its requirements say.

    :raises EnvironmentSetupError: when `venv` or `pip` fail.
    """
    requirements = _REQUIREMENTS / f"{environment}.txt"
    pinned = [requirements, _REQUIREMENTS / "common.txt"]
    arguments = ["--requirement", str(requirements)]
    if environment == "otelbot":
        # Editable: always what the checkout holds.
        arguments += ["--editable", str(ROOT)]
        pinned.append(ROOT / "pyproject.toml")
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in pinned) + sys.version.encode()).hexdigest()
    stamp = _ENVIRONMENTS / environment / ".requirements"
    python = str(program(environment, "python"))
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _call(sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENTS / environment))
        _call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)
        stamp.write_text(wanted, encoding="utf-8")
    # So that no run pays for compiling what is not installed but lies in the checkout.
    _call(python, "-m", "compileall", "-q", str(ROOT / "benchmarks" / "bot"), str(ROOT / "otelbot"))


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
    if done.returncode:
        raise EnvironmentSetupError(f"{' '.join(command[1:4])} failed:\n{(done.stderr or done.stdout)[-2000:]}")
