"""The service is named after the program."""

from __future__ import annotations

import os

import pytest

from otelbot import resource
from otelbot.resource import service_name, service_version


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "bot.py"], "bot"),
        (["python", "-u", "/srv/shop/main.py", "x.py"], "main"),
        (["python", "-W", "ignore", "-X", "dev", "bot.py"], "bot"),
        (["python", "-m", "shop"], "shop"),
        (["python", "-mshop.bot"], "shop.bot"),
        (["python", "-m", "shop.__main__"], "shop"),
        (["python", "/srv/shop/__main__.py"], "shop"),
        (["/venv/bin/python", "/venv/bin/mybot", "run"], "mybot"),
        (["python", "/venv/bin/uvicorn", "shop.web:app", "--port", "80"], "shop.web"),
        (["python", "-m", "uvicorn", "--host", "127.0.0.1", "app:create()"], "app"),
        (["python", "/venv/bin/gunicorn", "-b", "127.0.0.1:80", "web:app"], "web"),
        (["python", "/venv/bin/uvicorn"], "uvicorn"),
        (["python", "-c", "print()"], "unknown_service:python"),
        (["python", "-uc", "import bot; bot.main()"], "unknown_service:python"),
        (["python", "-um", "shop.bot"], "shop.bot"),
        (["python"], "unknown_service:python"),
    ],
)
def test_service_name(argv, name):
    assert service_name(argv) == name


def test_the_version_comes_from_the_project_beside_the_script(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.x]\nversion = "9"\n[project]\nname = "a"\nversion = "1.2.3"\n')
    assert service_version(["python", str(tmp_path / "bot.py")]) == "1.2.3"
    (tmp_path / "pyproject.toml").write_text('[tool.poetry]\nname = "a"\nversion = "1.2.4"\n')
    assert service_version(["python", str(tmp_path / "bot.py")]) == "1.2.4"
    (tmp_path / "pyproject.toml").write_text('[tool.x]\nversion = "9"\n')
    assert service_version(["python", str(tmp_path / "bot.py")]) is None


def test_what_the_user_says_wins(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,deployment.environment.name=prod")
    attributes = resource.create(os.environ).attributes
    assert attributes["service.name"] == "shop"
    assert attributes["service.version"] == "7"
    assert attributes["deployment.environment.name"] == "prod"
    assert attributes["process.pid"] == os.getpid()
    assert attributes["host.name"]
    assert "process.command_args" not in attributes
