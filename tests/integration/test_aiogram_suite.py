"""aiogram's own tests, as published with its sources, give the same result under otelbot as without it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import aiogram
import pytest

from tests.support import OTELBOT_INSTRUMENT, clean_environ

if TYPE_CHECKING:
    from otelbot.demo.otlp import OtlpReceiver

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_EXTRAS = ("redis", "mongo", "proxy", "i18n", "signature", "test")
#: Of the test requirements, what only checks types and writes reports.
_NOT_NEEDED = ("pytest-html", "pytest-mypy", "pytest-cov", "pytest-env")


def cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "otelbot" / f"aiogram-{aiogram.__version__}"


def sources() -> Path:
    """Return aiogram's sources with its tests, downloaded once."""
    folder = cache() / "source"
    if folder.exists():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as temporary:
        what = f"aiogram=={aiogram.__version__}"
        pip(sys.executable, "download", "--no-deps", "--no-binary", "aiogram", "-d", temporary, what)
        (archive,) = Path(temporary).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(Path(temporary) / "out", filter="data")
        (unpacked,) = (Path(temporary) / "out").iterdir()
        unpacked.rename(folder)
    return folder


def interpreter(source: Path) -> Path:
    """Return a Python with the test requirements, made once, that has all else from the one that runs this test."""
    site_packages = sysconfig.get_path("purelib")
    folder = cache() / f"venv-{hashlib.sha256(site_packages.encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    done = folder / "done"
    if done.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    outside = folder / "lib" / version / "site-packages" / "outside.pth"
    outside.write_text(f"import site; site.addsitedir({site_packages!r})\n", encoding="utf-8")
    pip(str(python), "install", *requirements(source))
    if (locales := source / "tests" / "data" / "locales").exists():
        compiled = [python, "-m", "babel.messages.frontend", "compile", "-f", "-D", "messages", "-d", locales]
        subprocess.run(compiled, check=True, capture_output=True)
    done.touch()
    return python


def requirements(source: Path) -> list[str]:
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"].get("optional-dependencies", {})
    wanted = [line for extra in _EXTRAS for line in extras.get(extra, ())]
    wanted += project.get("dependency-groups", {}).get("test", ())
    return [line for line in wanted if not line.startswith(_NOT_NEEDED)]


def pip(python: str, *words: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environ(),
    )
    if done.returncode:
        sentence = f"aiogram's test suite is not in the cache and PyPI did not give it: {done.stderr.strip()[-400:]}"
        if "aiogram-suite" in os.environ.get("OTELBOT_REQUIRE", "").split(","):
            pytest.fail(sentence)
        pytest.skip(sentence)


class Suite:
    def __init__(self, python: Path, source: Path, folder: Path) -> None:
        self._python, self._source, self._folder = python, source, folder

    async def run(self, otlp: OtlpReceiver | None, *words: str) -> dict[str, str]:
        """Return the outcome of each test: passed, skipped, failure or error."""
        report = self._folder / f"{'plain' if otlp is None else 'otelbot'}.xml"
        command = [str(self._python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        # Newer versions of pytest-asyncio than aiogram's ask for a setting.
        command += ["-W", "ignore:The configuration option", "-o", "junit_family=xunit1", *words]
        env = clean_environ() | {"PYTHONDONTWRITEBYTECODE": "1"}
        if otlp is not None:
            command.insert(0, OTELBOT_INSTRUMENT)
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp.url
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._source,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode in {0, 1}, output.decode()[-4000:]
        return dict(outcomes(report))


def outcomes(report: Path):
    # pytest and hypothesis put addresses into the ids of parameters.
    for case in ET.parse(report).iter("testcase"):
        name = re.sub(r"0x[0-9a-f]+", "0x", f"{case.get('file')}::{case.get('classname')}::{case.get('name')}")
        yield name, next((child.tag for child in case if child.tag in {"failure", "error", "skipped"}), "passed")


def different(plain: dict[str, str], instrumented: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    names = plain.keys() | instrumented.keys()
    pairs = {name: (plain.get(name), instrumented.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.timeout(600)
async def test_aiograms_own_tests_give_the_same_result_under_otelbot(otlp, tmp_path):
    source = await asyncio.to_thread(sources)
    suite = Suite(await asyncio.to_thread(interpreter, source), source, tmp_path)
    plain, instrumented = await asyncio.gather(suite.run(None), suite.run(otlp))
    if changed := different(plain, instrumented):
        # What depends on the time of day or on the machine's load is not otelbot's doing: once more, alone.
        files = sorted({name.partition("::")[0] for name in changed})
        changed = different(await suite.run(None, *files), await suite.run(otlp, *files))
    assert changed == {}
    assert len(plain) > 1000
    assert sum(outcome == "passed" for outcome in plain.values()) > 0.9 * len(plain)
    assert any(span.kind == "CONSUMER" for span in otlp.spans)
