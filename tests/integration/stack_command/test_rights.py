"""What other users may read, and what is said where this one may not."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

#: Takes from root what lets it pass over rights; other users do not have that.
BOUND = () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


async def test_services_can_read_what_is_written_whatever_the_umask_is(stack):
    await stack.run("init", umask=0o077)
    for part in ("collector-config", "grafana", "loki", "prometheus", "tempo"):
        for path in (stack.folder / part, *(stack.folder / part).rglob("*")):
            assert mode(path) == (0o755 if path.is_dir() else 0o644), path
    assert mode(stack.folder / ".env") == 0o600
    stack.set(ALERT_WEBHOOK_URL="https://example.org/hook")
    await stack.run("up", umask=0o077)
    assert mode(stack.folder / "grafana/provisioning/alerting/contact-points.yaml") == 0o644


@pytest.mark.parametrize(("path", "rights"), [("loki/loki.yaml", 0o600), ("prometheus/rules", 0o700)])
async def test_what_services_can_not_read_is_said_and_init_mends_it(stack, path, rights):
    await stack.run("init")
    (stack.folder / path).chmod(rights)
    status, detail = (await stack.check(code=1))["rights"]
    assert status == "failed"
    assert detail.endswith(f"chmod -R go+rX {stack.folder / path.split('/')[0]}")
    assert "chmod -R go+rX" in await stack.run("up", code=1)
    await stack.run("init")
    assert "rights" not in await stack.check()


@pytest.mark.skipif(bool(BOUND) and not shutil.which("setpriv"), reason="setpriv missing, which binds root to rights")
class TestAnotherUser:
    @pytest.mark.parametrize(
        ("command", "rights"),
        [*((command, 0) for command in ("init", "up", "down", "check", "test-alert")), ("up", 0o500), ("check", 0o500)],
    )
    async def test_gets_a_sentence(self, stack, command, rights):
        await stack.run("init")
        stack.set(ALERT_WEBHOOK_URL="http://127.0.0.1:1/hook")
        stack.folder.chmod(rights)
        try:
            said = await stack.run(command, before=BOUND, code=1)
        finally:
            stack.folder.chmod(0o755)
        if rights:
            assert f"sudo chown -R $USER {stack.folder}" in said

    @pytest.mark.parametrize("command", ["up", "check", "down", "test-alert"])
    async def test_of_a_secret_file_gets_a_sentence(self, stack, command):
        await stack.run("init")
        (stack.folder / ".env").chmod(0)
        assert ".env can't be read" in await stack.run(command, before=BOUND, code=1)


@pytest.mark.parametrize("command", ["init", "up", "check", "down", "test-alert"])
async def test_a_folder_that_was_deleted_under_the_shell_is_a_sentence(stack, command):
    await stack.run("init")
    before = ("sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$0" "$@"')
    await stack.run(command, before=before, code=1 if command == "test-alert" else 0)
    stack.folder = stack.folder.relative_to(stack.home)
    assert "✗" in await stack.run(command, before=before, code=1)
