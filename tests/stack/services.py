"""The real Collector and the real Prometheus on 127.0.0.1, with the processors and settings of the stack."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import socket
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otelbot.dashboard.otlp.json_form import from_otlp_json
from otelbot.demo.otlp_views import LogView, MetricView, SpanView, logs_of, spans_of, update_metrics
from otelbot.demo.processes import last_lines, running
from otelbot.demo.waiting import PATIENCE
from tests.support import clean_environ, tools_folder

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from google.protobuf.message import Message
    from typing_extensions import Self

#: The configuration files that users get.
SHIPPED = Path(__file__).parents[2] / "collector-config"


async def eventually(look: Callable[[], Awaitable[Any]], what: str, timeout: float = PATIENCE) -> Any:
    """Return the first true value that `look` gives.

    :raises TimeoutError: when that takes longer than `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not (found := await look()):
        if loop.time() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        await asyncio.sleep(0.05)
    return found


def free_port() -> int:
    """Return a port that nobody listens on, below those that outgoing connections get: while a server is away, neither
    another program nor a connection to itself takes it.
    """
    while True:
        port = random.SystemRandom().randrange(15000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server(ABC):
    """A program that is started, awaited until it answers, stopped, and started again."""

    name: str
    ready_path: str

    process: Process

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environ: dict[str, str] = {}
        self.log = folder / f"{self.name}.log"
        self.ready_port = free_port()
        self._stack = AsyncExitStack()

    @property
    def program(self) -> str:
        return str(tools_folder() / self.name)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line."""

    async def start(self) -> None:
        environ = clean_environ() | self.environ
        self.process = await self._stack.enter_async_context(
            running(self.command(), self.log, env=environ, patience=30)
        )

        async def answers() -> bool:
            if self.process.returncode is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{last_lines(self.log)}")
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://127.0.0.1:{self.ready_port}{self.ready_path}") as response,
                ):
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, f"{self.name} to be ready")

    async def stop(self) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        """End it as a power cut or the kernel's memory killer would: without a chance to save anything."""
        self.process.kill()
        await self.process.wait()
        await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        print(f"--- {self.log}\n{last_lines(self.log, 40)}")  # which pytest shows of a test that fails


class ShippedCollector(Server):
    """A Collector that runs files of collector-config/ as they are, with what a test needs otherwise in a last file."""

    name = "otelcol-otelbot"
    ready_path = "/"

    def __init__(self, folder: Path, *files: str, **environ: str) -> None:
        """:param files: names in collector-config/.
        :param environ: variables of those files, beside ports and folders, which are the test's own.
        """
        super().__init__(folder)
        self.files = [str(SHIPPED / name) for name in files]
        self.port = free_port()
        self.grpc_port = free_port()
        self.metrics_port = free_port()
        self.config: dict[str, Any] = {}
        self.environ = {
            "COLLECTOR_HOST": "127.0.0.1",
            "COLLECTOR_OTLP_HTTP_PORT": str(self.port),
            "COLLECTOR_OTLP_GRPC_PORT": str(self.grpc_port),
            "COLLECTOR_METRICS_PORT": str(self.metrics_port),
            "COLLECTOR_HEALTH_PORT": str(self.ready_port),
            "FETCHER_HEALTH_PORT": str(self.ready_port),
            "COLLECTOR_QUEUE_DIR": str(folder / "queue"),
            **environ,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_file(self) -> Path:
        return self.folder / "test.yaml"

    @property
    def options(self) -> list[str]:
        self.config_file.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        return [word for file in (*self.files, str(self.config_file)) for word in ("--config", file)]

    def command(self) -> list[str]:
        return [self.program, *self.options]

    async def validate(self) -> tuple[int, str]:
        return await check(self.name, "validate", *self.options, env=self.environ)

    async def post(self, signal: str, body: Any) -> int:
        """Send OTLP/JSON as any other program would; returns the status."""
        data = io.BytesIO(json.dumps(body).encode())  # aiohttp warns of long ones that it gets as bytes
        headers = {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/{signal}", data=data, headers=headers) as response,
        ):
            return response.status


class Collector(ShippedCollector):
    """The stack's Collector, which appends what it would send, as OTLP/JSON, to a file for each signal."""

    def __init__(self, folder: Path, prometheus_url: str | None = None) -> None:
        """:param prometheus_url: where metrics go as well."""
        to_prometheus = {"PROMETHEUS_OTLP_ENDPOINT": f"{prometheus_url}/api/v1/otlp"} if prometheus_url else {}
        super().__init__(folder, "base.yaml", **to_prometheus)
        # Without `append` a restarted Collector begins the file anew.
        self.config = {
            "exporters": {
                **{
                    f"file/{signal}": {
                        "path": str(folder / f"{signal}.jsonl"),
                        "append": True,
                        "flush_interval": "50ms",
                    }
                    for signal in ("traces", "metrics", "logs")
                },
                "otlp_http/prometheus": {"sending_queue": {"batch": {"flush_timeout": "200ms"}}},
            },
            "processors": {},
            "service": {
                # Of its log what helps to understand a failure.
                "telemetry": {"logs": {"level": "warn"}},
                "pipelines": {
                    f"{signal}/out": {"exporters": [f"file/{signal}"]} for signal in ("traces", "metrics", "logs")
                },
            },
        }
        if prometheus_url:
            self.config["service"]["pipelines"]["metrics/out"]["exporters"].append("otlp_http/prometheus")

    def take_nothing_but_gzip(self) -> None:
        """From the next start on."""
        self.config["receivers"] = {"otlp": {"protocols": {"http": {"compression_algorithms": ["gzip"]}}}}

    def mask_nothing(self) -> None:
        """From the next start on pass everything on as it comes."""
        for signal in ("traces", "metrics", "logs"):
            self.config["service"]["pipelines"][signal] = {"processors": ["memory_limiter"]}

    def limit_memory(self, limit: Mapping[str, Any] | None) -> None:
        """Set the memory limiter's settings, from the next start on; None is back to its own."""
        self.config["processors"] = {"memory_limiter": dict(limit)} if limit else {}

    # What it has taken

    @property
    def raw(self) -> bytes:
        return b"\n".join(file.read_bytes() for file in sorted(self.folder.glob("*.jsonl")))

    @property
    def spans(self) -> list[SpanView]:
        return [span for request in self._requests("traces", ExportTraceServiceRequest) for span in spans_of(request)]

    @property
    def logs(self) -> list[LogView]:
        return [record for request in self._requests("logs", ExportLogsServiceRequest) for record in logs_of(request)]

    @property
    def metrics(self) -> dict[str, MetricView]:
        """By name, with the latest data points."""
        views: dict[str, MetricView] = {}
        for request in self._requests("metrics", ExportMetricsServiceRequest):
            update_metrics(views, request)
        return views

    def _requests(self, signal: str, kind: type[Message]) -> Iterator[Any]:
        try:
            lines = (self.folder / f"{signal}.jsonl").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for line in lines:
            if line.endswith(b"\n"):  # the last one may be half-written
                yield from_otlp_json(line, kind)

    async def wait_for(self, look: Callable[[Collector], Any], what: str, timeout: float = PATIENCE) -> Any:
        """Return the first true value of `look(self)`."""

        async def looked() -> Any:
            return look(self)

        return await eventually(looked, what, timeout)


class Prometheus(Server):
    """The stack's Prometheus, with its own file: takes OTLP metrics and answers PromQL.

    It scrapes, every 5 s, only what `targets` has a port for, by the name of the job.
    """

    name = "prometheus"
    ready_path = "/-/ready"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.targets: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ready_port}"

    @property
    def config_file(self) -> Path:
        return self.folder / "prometheus.yaml"

    def write_config(self) -> Path:
        folder = SHIPPED.parent / "prometheus"
        config = yaml.safe_load((folder / "prometheus.yaml").read_text(encoding="utf-8"))
        config["rule_files"] = [str(folder / file) for file in config["rule_files"]]
        config["global"] = {"scrape_interval": "5s", "evaluation_interval": "5s"}
        config["scrape_configs"] = [
            job | {"static_configs": [{"targets": [f"127.0.0.1:{self.targets[job['job_name']]}"]}]}
            for job in config["scrape_configs"]
            if job["job_name"] in self.targets
        ]
        self.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return self.config_file

    def command(self) -> list[str]:
        return [
            self.program,
            f"--config.file={self.write_config()}",
            f"--web.listen-address=127.0.0.1:{self.ready_port}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--web.enable-otlp-receiver",
            "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
        ]

    async def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series that answers."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/query", params={"query": promql}) as response,
        ):
            answer = json.loads(await response.read())
        assert answer["status"] == "success", answer
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    async def by(self, label: str, promql: str) -> dict[str, float]:
        return {labels.get(label, ""): value for labels, value in await self.query(promql)}


async def check(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run one of the built programs to its end; returns its status and its output."""
    process = await asyncio.create_subprocess_exec(
        os.fspath(tools_folder() / program),
        *arguments,
        env=clean_environ() | dict(env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()
