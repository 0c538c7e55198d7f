"""The Collector is stopped or killed, and its backends go away: what it has taken arrives, once."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest
import yaml
from aiohttp import web

from otelbot.demo.otlp import OtlpReceiver
from tests.stack.services import SHIPPED, eventually, free_port
from tests.stack.stack_collector import logs, own_metrics, send_all, span, stack_collector, traces

pytestmark = pytest.mark.needs("stack")

NAMES = [f"item-{number}" for number in range(20)]


def arrived(*backends):
    """How often each name has come, by signal."""
    spans = Counter(one.name for backend in backends for one in backend.spans)
    records = Counter(one.body for backend in backends for one in backend.logs)
    points = {name for backend in backends for name in backend.metrics if name.startswith("item-")}
    return spans, records, points


def complete(*backends):
    return all(set(NAMES) <= set(names) for names in arrived(*backends))


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_what_was_taken_while_the_backends_were_away_outlives_the_collector(tmp_path, end):
    port = free_port()
    async with stack_collector(tmp_path / "collector", f"http://127.0.0.1:{port}") as collector:
        await send_all(collector, NAMES[:10])
        await getattr(collector, end)()
        await collector.start()
        await send_all(collector, NAMES[10:])
        async with OtlpReceiver(port) as backend:
            await backend.wait_for(lambda: complete(backend))
            await collector.stop()
            spans, records, _ = arrived(backend)
    assert spans == records == Counter(NAMES)


async def test_what_was_taken_while_a_backend_restarted_arrives_after_it(tmp_path):
    port = free_port()
    async with stack_collector(tmp_path / "collector", f"http://127.0.0.1:{port}") as collector:
        async with OtlpReceiver(port) as before:
            await send_all(collector, NAMES[:5])
            await before.wait_for(lambda: "item-4" in before.metrics and len(before.spans) == len(before.logs) == 5)
        await send_all(collector, NAMES[5:15])
        async with OtlpReceiver(port) as after:
            after.answer_with(503, times=3)  # it is up, and not ready
            await send_all(collector, NAMES[15:])
            await after.wait_for(lambda: complete(before, after))
    spans, records, _ = arrived(before, after)
    assert spans == records == Counter(NAMES)


class Picky(OtlpReceiver):
    """Refuses what is over a size, as Tempo and Loki refuse what is over their bursts: for ever, with 429."""

    def __init__(self, most: int, port: int = 0) -> None:
        super().__init__(port)
        self.most = most
        self.biggest = 0

    async def _on_export(self, request):
        body = await request.read()
        size = len(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)
        self.biggest = max(self.biggest, size)
        return web.Response(status=429) if size > self.most else await super()._on_export(request)


async def test_what_is_too_big_at_once_goes_in_parts_and_blocks_nothing(tmp_path):
    bodies = [f"{number} " + "x" * 5000 for number in range(2000)]
    async with Picky(8_000_000) as backend, stack_collector(tmp_path / "collector", backend.url) as collector:
        assert await collector.post("logs", logs(*bodies)) == 200
        assert await collector.post("traces", traces(*(span(body) for body in bodies))) == 200
        await send_all(collector, ["small one behind them"])
        await backend.wait_for(lambda: len(backend.logs) == len(backend.spans) == len(bodies) + 1, 20)
    assert backend.biggest < 2_100_000


async def test_a_broken_queue_keeps_the_collector_down_until_its_file_is_removed(tmp_path):
    """`recreate` heals no file that we know to break. The others are whole: what docs/scaling.md says to do."""
    port = free_port()
    async with stack_collector(tmp_path / "collector", f"http://127.0.0.1:{port}") as collector:
        await send_all(collector, NAMES)
        await collector.kill()
        file = collector.folder / "queue" / "exporter_otlp_http_tempo_traces"
        with file.open("r+b") as broken:
            broken.write(b"broken".ljust(8192, b"\0"))  # both of its first pages, each of which can stand for the other
        with pytest.raises(RuntimeError, match='failed to start "otlp_http/tempo" exporter'):
            await collector.start()
        await collector.stop()
        file.unlink()
        await collector.start()
        async with OtlpReceiver(port) as backend:
            await backend.wait_for(lambda: set(NAMES) <= backend.metrics.keys() & {one.body for one in backend.logs})


def test_what_a_power_cut_can_break_is_on_the_disk_first():
    for file in ("base.yaml", "gateway/agent.yaml"):
        config = yaml.safe_load((SHIPPED / file).read_text(encoding="utf-8"))
        assert config["extensions"]["file_storage/queue"]["fsync"] is True


async def fill(collector, limit=2000):
    """Send until the Collector refuses; return what it has taken."""
    taken = []
    for number in range(limit):
        name = f"{number} " + "x" * 5000
        status = await collector.post("traces", traces(span(name)))
        if status != 200:
            assert status == 503, "which tells a bot to keep it and try again"
            return taken
        taken.append(name)
    raise AssertionError(f"{limit} taken without end")


@pytest.mark.parametrize("bound", ["queue_size", "max_size"])
async def test_a_full_queue_refuses_and_loses_nothing_of_what_it_has(tmp_path, bound):
    port = free_port()
    environ = {
        "queue_size": {"COLLECTOR_QUEUE_BYTES": "1000000"},
        "max_size": {"COLLECTOR_QUEUE_FILE_BYTES": "2097152"},
    }
    collector = stack_collector(tmp_path / "collector", f"http://127.0.0.1:{port}", **environ[bound])
    collector.config["extensions"] = {
        "file_storage/queue": {
            "compaction": {
                "rebound_needed_threshold_mib": 1,
                "rebound_trigger_threshold_mib": 1,
                "check_interval": "200ms",
            }
        }
    }
    async with collector:
        taken = await fill(collector)
        file = collector.folder / "queue" / "exporter_otlp_http_tempo_traces"
        assert file.stat().st_size <= 2**21
        assert await collector.post("logs", logs("other signals have files of their own")) == 200
        page = await own_metrics(collector)
        assert any(name.startswith("otelcol_exporter_enqueue_failed_spans") and page[name] for name in page)
        async with OtlpReceiver(port) as backend:
            await backend.wait_for_spans(lambda spans: {one.name for one in spans} >= set(taken))

            async def takes_again() -> bool:
                return await collector.post("traces", traces(span("room again"))) == 200

            await eventually(takes_again, "room in the queue")

            async def shrunk() -> bool:
                # The file frees its pages when it is written to: as in life, more telemetry comes.
                await collector.post("traces", traces(span("goes on")))
                return file.stat().st_size <= 2**20  # the threshold above

            await eventually(shrunk, "the disk to be given back")
            await backend.wait_for_spans(lambda spans: "room again" in {one.name for one in spans})
