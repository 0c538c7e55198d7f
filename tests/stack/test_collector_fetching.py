"""What the Collector fetches: a real Redis, this machine, its own disk and its own figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otelbot.demo.otlp import OtlpReceiver
from otelbot.demo.services import redis_server
from tests.stack.services import ShippedCollector, eventually, free_port
from tests.stack.stack_collector import own_metrics, send_all, stack_collector

pytestmark = pytest.mark.needs("stack")


def mount_of(folder):
    """The mount point that holds a folder, which exists."""
    while not os.path.ismount(folder):
        folder = folder.parent
    return folder


@pytest.mark.parametrize("base", ["receiver.yaml", "base.yaml"])
async def test_redis_by_the_overlay(tmp_path, otlp, base):
    async with redis_server() as url:
        endpoint = url.removeprefix("redis://").removesuffix("/0")
        environ = {"REDIS_MONITOR_ENDPOINT": endpoint, "REDIS_MONITOR_INTERVAL": "1s"}
        if base == "base.yaml":
            collector = stack_collector(tmp_path / "collector", otlp.url, "redis.yaml", **environ)
        else:
            environ["COLLECTOR_ENDPOINT"] = otlp.url
            collector = ShippedCollector(tmp_path / "collector", base, "redis.yaml", **environ)
        async with collector:
            await otlp.wait_for(lambda: "redis.memory.used" in otlp.metrics)
    assert {"redis.clients.connected", "redis.commands", "redis.keyspace.hits", "redis.uptime"} <= otlp.metrics.keys()
    ((_, used, resource),) = otlp.metrics["redis.memory.used"].points
    assert used > 0
    assert (resource["service.name"], resource["service.instance.id"]) == ("redis", endpoint)


async def test_the_fetching_collector_keeps_what_the_first_one_can_not_take(tmp_path):
    port = free_port()
    async with redis_server() as url:
        endpoint = url.removeprefix("redis://").removesuffix("/0")
        collector = ShippedCollector(
            tmp_path / "collector",
            "receiver.yaml",
            "redis.yaml",
            REDIS_MONITOR_ENDPOINT=endpoint,
            REDIS_MONITOR_INTERVAL="500ms",
            COLLECTOR_ENDPOINT=f"http://127.0.0.1:{port}",
        )
        collector.config = {"exporters": {"otlp_http/collector": {"retry_on_failure": {"max_interval": "1s"}}}}
        async with collector, OtlpReceiver(port) as first:
            await first.wait_for(lambda: len(first.requests) >= 2)


async def test_the_machine_by_the_overlay(tmp_path, otlp):
    collector = ShippedCollector(
        tmp_path / "collector",
        "receiver.yaml",
        "host.yaml",
        HOST_ROOT="/",
        HOST_INTERVAL="1s",
        COLLECTOR_ENDPOINT=otlp.url,
        OTEL_RESOURCE_ATTRIBUTES="host.name=shop-1",
    )
    # Here / may be an overlay, which a machine's is not.
    filesystem = {"include_virtual_filesystems": True, "exclude_fs_types": {"fs_types": ["proc"]}}
    collector.config = {"receivers": {"host_metrics": {"scrapers": {"filesystem": filesystem}}}}
    wanted = {
        "system.cpu.time",
        "system.cpu.utilization",
        "system.cpu.load_average.1m",
        "system.memory.usage",
        "system.memory.utilization",
        "system.filesystem.usage",
        "system.filesystem.utilization",
        "system.network.io",
    }
    async with collector:
        await otlp.wait_for(lambda: wanted <= otlp.metrics.keys())
    for _, value, resource in otlp.metrics["system.memory.utilization"].points:
        assert 0 <= value <= 1
        assert (resource["service.name"], resource["host.name"]) == ("host", "shop-1")
        assert resource["service.instance.id"] == "shop-1"
    assert "system.network.connections" not in otlp.metrics
    assert "lo" not in {point["device"] for point, _, _ in otlp.metrics["system.network.io"].points}


async def test_the_machine_from_within_a_container_that_may_not_read_its_mounts(tmp_path, otlp):
    root = tmp_path / "hostfs"
    for name in "filesystems stat meminfo diskstats loadavg vmstat swaps uptime cpuinfo net/dev".split():
        file = root / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(Path("/proc", name).read_bytes())
    # Device, folder in it, mount point: the container's own, and below `root` the machine's.
    mounts = [
        ("259:2", "/", root, "ext4 /dev/nvme0n1p2"),
        ("259:1", "/", root / "boot", "ext4 /dev/nvme0n1p1"),
        ("259:2", "/srv/otelbot/collector-config", "/etc/otelcol", "ext4 /dev/nvme0n1p2"),
        ("0:5", "/", root / "proc", "proc proc"),
    ]
    lines = [
        f"{600 + number} 500 {device} {folder} {point} ro,relatime - {what} rw\n"
        for number, (device, folder, point, what) in enumerate(mounts)
    ]
    for folder in ("boot", "proc/self"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "proc/self/mountinfo").write_text("".join(lines), encoding="utf-8")
    environ = {"HOST_ROOT": str(root), "HOST_INTERVAL": "1s", "COLLECTOR_ENDPOINT": otlp.url}
    collector = ShippedCollector(tmp_path / "collector", "receiver.yaml", "host.yaml", **environ)
    async with collector:
        await otlp.wait_for(lambda: "system.filesystem.utilization" in otlp.metrics)
    points = otlp.metrics["system.filesystem.utilization"].points
    assert {point["mountpoint"] for point, _, _ in points} == {"/", "/boot"}
    assert "failed to read usage" not in collector.log.read_text(encoding="utf-8")


async def test_the_disk_of_the_queue_is_watched_and_no_other(tmp_path, otlp):
    mount = str(mount_of(tmp_path))
    async with stack_collector(tmp_path / "collector", otlp.url, COLLECTOR_QUEUE_MOUNT=mount):
        await otlp.wait_for(lambda: "system.filesystem.utilization" in otlp.metrics)
    for point, share, resource in otlp.metrics["system.filesystem.utilization"].points:
        assert point["mountpoint"] == mount
        assert 0 <= share <= 1
        assert (resource["service.name"], resource["service.instance.id"]) == ("otel-collector", "otel-collector")


async def test_no_mount_point_is_no_fault(tmp_path, otlp):
    environ = {"COLLECTOR_QUEUE_MOUNT": str(tmp_path), "COLLECTOR_LOG_LEVEL": "warn"}
    async with stack_collector(tmp_path / "collector", otlp.url, **environ) as collector:
        names = ["sent"]
        await send_all(collector, names)
        # By now it has looked at the mount points more than once: it does so at the start, and each second.
        await otlp.wait_for(lambda: "traces.spanmetrics.calls" in otlp.metrics)
        page = await own_metrics(collector)
    assert sum(value for name, value in page.items() if name.startswith("otelcol_scraper_errored")) == 0
    assert "system.filesystem.utilization" not in otlp.metrics
    assert Path(collector.log).read_text(encoding="utf-8") == ""


async def test_its_own_page_has_what_dashboards_and_rules_ask_for(tmp_path, otlp):
    otlp.answer_with(400, signal="logs")  # for good: that is dropped, and counted
    async with stack_collector(tmp_path / "collector", otlp.url) as collector:
        await send_all(collector, ["one"])
        await otlp.wait_for(lambda: otlp.spans and "one" in otlp.metrics and otlp.refused)

        async def counted():
            page = await own_metrics(collector)
            wanted = ("send_failed_log_records", "sent_spans", "sent_metric_points")
            return page if all(any(f"exporter_{name}{{" in line for line in page) for name in wanted) else None

        page = await eventually(counted, "what was sent and what failed to be counted")
    signals = {
        "spans": ("traces", "otlp_http/tempo"),
        "metric_points": ("metrics", "otlp_http/prometheus"),
        "log_records": ("logs", "otlp_http/loki"),
    }
    for thing, (signal, exporter) in signals.items():
        assert page[f'otelcol_receiver_accepted_{thing}{{receiver="otlp",transport="http"}}'] == 1
        assert page[f'otelcol_receiver_refused_{thing}{{receiver="otlp",transport="http"}}'] == 0
        labels = f'data_type="{signal}",exporter="{exporter}"'
        assert page[f"otelcol_exporter_queue_size{{{labels}}}"] >= 0
        assert page[f"otelcol_exporter_queue_capacity{{{labels}}}"] == 268435456
    assert of(page, "otelcol_exporter_sent_spans", "otlp_http/tempo") == 1
    assert of(page, "otelcol_exporter_sent_metric_points", "otlp_http/prometheus") >= 1
    assert of(page, "otelcol_exporter_sent_log_records", "otlp_http/loki") == 0
    assert of(page, "otelcol_exporter_send_failed_log_records", "otlp_http/loki") == 1
    assert {"otelcol_process_uptime", "otelcol_process_memory_rss", "otelcol_process_cpu_seconds"} <= page.keys()


def of(page, name, exporter):
    """A counter of an exporter, which has the address it sends to as further labels."""
    ((_, value),) = ((line, value) for line, value in page.items() if line.startswith(f'{name}{{exporter="{exporter}"'))
    return value
