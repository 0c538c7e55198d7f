"""Memory, the exporter, and what is said of a failure."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from otelbot.health.checks import Degraded, Failed
from otelbot.health.exporter import Exporter
from otelbot.health.memory import memory_check
from otelbot.health.texts import said, said_of
from otelbot.privacy import register_secret


def write(root, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_memory_beyond_its_limit_is_degraded(tmp_path):
    memory_check(limit=1.1, root=tmp_path).run()
    with pytest.raises(Degraded, match=r"of the memory of the machine is used, more than 0%"):
        memory_check(limit=0.0, root=tmp_path).run()
    assert not memory_check().critical


V2 = {
    "proc/self/cgroup": "0::/bots/shop",
    "sys/fs/cgroup/bots/memory.max": 1000,
    "sys/fs/cgroup/bots/memory.current": 980,
    "sys/fs/cgroup/bots/memory.stat": "anon 900\ninactive_file 20",
    "sys/fs/cgroup/bots/shop/memory.max": "max",
    "sys/fs/cgroup/bots/shop/memory.current": 100,
}
IN_A_CONTAINER = {
    "proc/self/cgroup": "0::/../../elsewhere",
    "sys/fs/cgroup/memory.max": 1000,
    "sys/fs/cgroup/memory.current": 960,
    "sys/fs/cgroup/memory.stat": "anon 900",
}
V1 = {
    "proc/self/cgroup": "11:cpu,cpuacct:/x\n9:memory:/docker/abc\n0::/",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": 1000,
    "sys/fs/cgroup/memory/memory.usage_in_bytes": 970,
    "sys/fs/cgroup/memory/memory.stat": "cache 7\ntotal_inactive_file 10",
}


@pytest.mark.parametrize("files", [V2, IN_A_CONTAINER, V1])
def test_the_limit_of_the_container_counts(tmp_path, files):
    write(tmp_path, files)
    with pytest.raises(Degraded, match="96% of the memory of the container is used, more than 95%"):
        memory_check(0.95, tmp_path).run()


@pytest.mark.parametrize(
    "files",
    [
        V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712},
        V2 | {"sys/fs/cgroup/bots/memory.max": "max"},
        IN_A_CONTAINER | {"sys/fs/cgroup/memory.current": "nothing"},
    ],
)
def test_a_container_without_a_limit_counts_not(tmp_path, files):
    write(tmp_path, files)
    memory_check(1.1, tmp_path).run()
    with pytest.raises(Degraded, match="of the machine"):
        memory_check(0, tmp_path).run()


def sender(signal: str) -> SimpleNamespace:
    target = SimpleNamespace(origin="http://collector:4318", signal=signal)
    return SimpleNamespace(sent=0, dropped={"refused": 0}, target=target, _failing=False)


def test_the_exporter_is_degraded_after_a_minute_in_which_nothing_went_through():
    traces, metrics, now = sender("traces"), sender("metrics"), [0.0]
    (check,) = Exporter([traces, metrics], lambda: now[0]).checks()
    check.run()
    traces._failing = True
    check.run()
    now[0] = 59
    check.run()
    now[0] = 61
    with pytest.raises(Degraded, match=r"nothing could be sent: traces to http://collector:4318$"):
        check.run()
    traces.sent, traces._failing = 1, False
    check.run()
    metrics.dropped["refused"] = 3
    check.run()
    now[0] = 200
    with pytest.raises(Degraded, match="metrics to"):
        check.run()
    metrics.sent = 1
    check.run()
    assert not check.critical


def test_without_an_exporter_there_is_no_check():
    assert not list(Exporter([]).checks())


def test_what_is_said_has_no_secrets_and_one_line():
    register_secret("webhook-secret-55")
    dsn = "postgresql://shop:p@ss:w0rd@db/shop"
    token = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0"
    text = said_of(RuntimeError(f"{dsn} and {token}\nand webhook-secret-55 " + "x" * 1000))
    assert text.startswith("RuntimeError: postgresql://***@db/shop and *** and *** xxx")
    assert len(text) < 310
    assert said("no://secret here@home") == "no://secret here@home"
    assert said_of(Failed()) == "Failed"
