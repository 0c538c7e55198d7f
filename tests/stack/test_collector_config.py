"""The Collector itself checks every combination of its files that users are told of."""

from __future__ import annotations

import itertools
import re

import pytest
import yaml

from tests.stack.services import SHIPPED, ShippedCollector, check

pytestmark = pytest.mark.needs("stack")

OVERLAYS = ("redis.yaml", "host.yaml", "sampling.yaml", "remote.yaml", "extras.yaml")
#: What has no default, because there is none; all else has one.
REQUIRED = {
    "GATEWAYS": "127.0.0.1:4317,localhost:4317",
    "POSTGRES_MONITOR_PASSWORD": "secret",
    "REMOTE_OTLP_ENDPOINT": "https://otlp.example.com/otlp",
}
COMBINATIONS = [
    ("base.yaml",),
    *[("base.yaml", overlay) for overlay in OVERLAYS],
    *[("base.yaml", *pair, "extras.yaml") for pair in itertools.permutations(("sampling.yaml", "remote.yaml"))],
    ("base.yaml", *OVERLAYS),
    ("receiver.yaml", "redis.yaml"),
    ("receiver.yaml", "host.yaml"),
    ("receiver.yaml", "redis.yaml", "host.yaml", "extras.yaml"),
    ("gateway/agent.yaml",),
    ("gateway/agent.yaml", "gateway/agent-dns.yaml"),
    ("base.yaml", "gateway/gateway.yaml"),
    ("base.yaml", "gateway/gateway.yaml", "sampling.yaml", "remote.yaml"),
]


@pytest.mark.parametrize("files", COMBINATIONS, ids=" ".join)
async def test_the_collector_accepts(tmp_path, files):
    collector = ShippedCollector(tmp_path, *files, HOST_ROOT="/", **REQUIRED)
    assert await collector.validate() == (0, "")


@pytest.mark.parametrize("first", ["base.yaml", "receiver.yaml"])
async def test_the_collector_accepts_all_of_postgres_yaml_but_its_receiver(tmp_path, first):
    """The built Collector has no PostgreSQL receiver (see builder.yaml): in its place stands that of Redis, with the
    settings that both have. The receiver's own settings are checked against nothing.
    """
    overlay = yaml.safe_load((SHIPPED / "postgres.yaml").read_text(encoding="utf-8"))
    receiver = overlay["receivers"].pop("postgresql")
    common = {key: receiver[key] for key in ("endpoint", "username", "password", "collection_interval", "tls")}
    overlay["receivers"]["redis/postgres"] = common
    overlay["service"]["pipelines"]["metrics/postgres"]["receivers"] = ["redis/postgres"]
    collector = ShippedCollector(tmp_path, first, **REQUIRED)
    collector.config = overlay
    assert await collector.validate() == (0, "")


def test_every_variable_has_a_default_but_those_that_can_have_none():
    without = set()
    for file in SHIPPED.rglob("*.yaml"):
        without |= set(re.findall(r"\$\{env:(\w+)\}", file.read_text(encoding="utf-8")))
    assert without == REQUIRED.keys() - {"GATEWAYS"}


def test_every_exporter_of_the_stack_keeps_its_queue_on_disk_and_never_gives_up():
    for file in ("base.yaml", "remote.yaml"):
        exporters = yaml.safe_load((SHIPPED / file).read_text(encoding="utf-8"))["exporters"]
        for name, exporter in exporters.items():
            assert exporter["sending_queue"]["storage"] == "file_storage/queue", name
            assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", name


def test_the_memory_limiter_comes_first_wherever_telemetry_comes_in():
    for file in SHIPPED.rglob("*.yaml"):
        config = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for name, pipeline in config.get("service", {}).get("pipelines", {}).items():
            # Behind a connector: what comes there has passed the limiter already.
            inside = name.endswith(("/out", "/remote", "/derived", "/graph")) and file.name != "receiver.yaml"
            if not inside:
                assert pipeline["processors"][0] == "memory_limiter", (file.name, name)


def test_requests_are_cut_by_bytes_far_below_what_backends_and_gateways_take():
    tempo = 8_000_000  # its and Loki's bursts; see test_collector_queues.py
    gateway = 4 * 2**20  # gRPC's own limit, which gateway.yaml raises
    for file, limit in (("base.yaml", tempo), ("remote.yaml", tempo), ("gateway/agent.yaml", gateway)):
        exporters = yaml.safe_load((SHIPPED / file).read_text(encoding="utf-8"))["exporters"]
        for name, exporter in exporters.items():
            queue = exporter.get("protocol", {}).get("otlp", exporter)["sending_queue"]
            assert queue["sizer"] == queue["batch"]["sizer"] == "bytes", name
            assert queue["batch"]["max_size"] < limit, name
            if "gateway" not in file:
                assert queue["num_consumers"] <= 2, f"{name}: each holds a batch in memory while its backend is away"


def test_span_metrics_tell_processes_apart_by_what_prometheus_makes_labels_of():
    base = yaml.safe_load((SHIPPED / "base.yaml").read_text(encoding="utf-8"))
    prometheus = yaml.safe_load((SHIPPED.parent / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    keys = base["connectors"]["span_metrics"]["resource_metrics_key_attributes"]
    assert keys == prometheus["otlp"]["promote_resource_attributes"]


def test_long_updates_are_decided_by_their_root():
    sampling = yaml.safe_load((SHIPPED / "sampling.yaml").read_text(encoding="utf-8"))["processors"]["tail_sampling"]
    assert sampling["decision_wait"] == "0s${env:SAMPLING_WAIT:-5m}"
    assert sampling["decision_wait_after_root_received"] == "0s${env:SAMPLING_WAIT_AFTER_ROOT:-3s}"


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SAMPLING_WAIT", "30", "missing unit in duration"),
        ("SAMPLING_WAIT_AFTER_ROOT", "3", "missing unit in duration"),
        ("COLLECTOR_INSTANCE_ID", 'the "first"', "invalid syntax"),
        ("COLLECTOR_QUEUE_BYTES", "499999", "`min_size` must be less than or equal to `queue_size`"),
    ],
)
async def test_the_collector_does_not_start_with_a_value_that_would_do_something_else(
    tmp_path, variable, value, complaint
):
    collector = ShippedCollector(tmp_path, "base.yaml", "sampling.yaml", **{variable: value})
    status, output = await collector.validate()
    assert status == 1
    assert complaint in output


async def test_promtool_accepts_the_remote_write_of_the_guide(tmp_path):
    guide = (SHIPPED.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n# prometheus\n(.*?)```", guide, re.DOTALL)
    config = yaml.safe_load((SHIPPED.parent / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    added = yaml.safe_load(block)
    config["global"] |= added.pop("global")
    config |= added
    password = tmp_path / "password"
    password.write_text("secret", encoding="utf-8")
    config["remote_write"][0]["basic_auth"]["password_file"] = str(password)
    config.pop("rule_files", None)
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    status, output = await check("promtool", "check", "config", str(file))
    assert status == 0, output
