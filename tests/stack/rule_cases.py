"""For each alert rule series that make it fire, and series that must not; in promtool's notation, a sample each `step`.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

from dataclasses import dataclass

SHOP = 'service_name="shop"'


@dataclass(frozen=True)
class Case:
    """`series` by selector; `fires` is None for quiet, else the labels that the alert has beside its severity."""

    uid: str
    why: str
    series: dict[str, str]
    at: str
    fires: dict[str, str] | None = None
    value: str = ""
    step: str = "15s"


def fires(uid: str, why: str, series: dict[str, str], at: str, value: str, step: str = "15s", **labels: str) -> Case:
    return Case(f"otelbot-{uid}", why, series, at, {"service_name": "shop", **labels}, value, step)


def stack_fires(uid: str, why: str, series: dict[str, str], at: str, value: str, **labels: str) -> Case:
    return Case(f"otelbot-{uid}", why, series, at, labels, value)


def quiet(uid: str, why: str, series: dict[str, str], at: str, step: str = "15s") -> Case:
    return Case(f"otelbot-{uid}", why, series, at, None, "", step)


def _buckets(name: str, bounds: dict[str, str], more: str = "") -> dict[str, str]:
    return {f'{name}_bucket{{{SHOP}{more}, le="{bound}"}}': values for bound, values in bounds.items()}


_MEMORY = f"process_memory_usage_bytes{{{SHOP}}}"
_ERRORS = f'telegram_bot_errors_total{{{SHOP}, error_type="ValueError", component="handler"}}'
_OLD_ERRORS = f'telegram_bot_errors_total{{{SHOP}, error_type="KeyError", component="handler"}}'
_CONNECTIONS = f"telegram_bot_database_connection_failures_total{{{SHOP}, db_system_name="
_DURATION = "telegram_bot_update_duration_seconds"
_DELAY = "telegram_bot_update_delay_seconds"
_AGE = f'telegram_bot_polling_last_success_age_seconds{{{SHOP}, telegram_bot_id="1"}}'
_UPTIME = f'process_uptime_seconds{{{SHOP}, telegram_bot_id="1"}}'
_POLLING = f'telegram_bot_polling_failures_total{{{SHOP}, telegram_bot_id="1", error_type='
_REFUSED = f'telegram_bot_api_rejections_total{{{SHOP}, telegram_bot_id="1", telegram_method="sendMessage", reason='
_WAITED = f'telegram_bot_api_retry_after_seconds_total{{{SHOP}, telegram_bot_id="1", telegram_method="sendMessage"}}'
_HANDLED = f'{_DURATION}_count{{{SHOP}, telegram_update_outcome="handled"}}'
_FAILED = f'{_DURATION}_count{{{SHOP}, telegram_update_outcome="error"}}'
_ANSWERED = f'{_DURATION}_count{{{SHOP}, telegram_update_outcome="error_handled"}}'
_BLOCKS = f"asyncio_eventloop_blocked_total{{{SHOP}}}"
_POOL = f'{SHOP}, db_system_name="postgresql", db_client_connection_pool_name="db/shop"'
_USED = f'db_client_connection_count{{{_POOL}, db_client_connection_state="used"}}'
_IDLE = f'db_client_connection_count{{{_POOL}, db_client_connection_state="idle"}}'
_MOST = f"db_client_connection_max{{{_POOL}}}"
_DROPPED = f'otelbot_export_dropped_total{{{SHOP}, signal="traces", reason="queue_full"}}'
_QUEUE = 'otelcol_exporter_queue_size{exporter="otlp_http/tempo", data_type="traces"}'
_CAPACITY = 'otelcol_exporter_queue_capacity{exporter="otlp_http/tempo", data_type="traces"}'
_LOST = 'otelcol_exporter_send_failed_spans{exporter="otlp_http/tempo"}'
_FULL = 'otelcol_exporter_enqueue_failed_log_records{exporter="otlp_http/tempo"}'
_DISK = 'system_filesystem_utilization_ratio{mountpoint="/var/lib/otelcol"}'

CASES = (
    fires("memory-high", "600 MB for minutes", {_MEMORY: "600000000x20"}, "3m", "572.2MiB"),
    fires(
        "memory-high",
        "one of two processes",
        {
            _MEMORY[:-1] + ', service_instance_id="a"}': "100000000x20",
            _MEMORY[:-1] + ', service_instance_id="b"}': "2e9x20",
        },
        "3m",
        "1.863GiB",
    ),
    quiet("memory-high", "just below", {_MEMORY: "524000000x20"}, "3m"),
    quiet("memory-high", "a peak of 30 s", {_MEMORY: "1e8x3 9e8x1 1e8x20"}, "75s"),
    quiet(
        "memory-high",
        "it was killed for it, and its successor is small",
        {
            f'{_MEMORY[:-1]}, service_instance_id="a"}}': "1e8x3 9e8x4 _x40",
            f'{_MEMORY[:-1]}, service_instance_id="b"}}': "_x9 1e8x40",
        },
        "5m",
    ),
    fires("error-rate", "the first errors of their kind", {_ERRORS: "_x3 12x20"}, "90s", "12"),
    fires("error-rate", "more of a kind that was there", {_ERRORS: "100x3 100+3x20"}, "3m", "12"),
    fires(
        "error-rate",
        "two kinds together, of a process that died meanwhile",
        {_ERRORS: "0x3 6x2 stale", _OLD_ERRORS: "0x3 6x20"},
        "90s",
        "12",
    ),
    quiet("error-rate", "nine of a new kind", {_ERRORS: "_x3 9x20"}, "90s"),
    quiet("error-rate", "a slow trickle", {_ERRORS: "0+1x40"}, "8m"),
    quiet("error-rate", "a restart of the same process's counter", {_ERRORS: "5000x10 2x10"}, "3m30s"),
    quiet("error-rate", "Prometheus was away for 20 minutes", {_ERRORS: "5000x10 _x80 5000x20"}, "24m"),
    quiet(
        "error-rate",
        "a stack that begins when the bot is ten days old",
        {_ERRORS: "_x10 500x20", _UPTIME.replace(', telegram_bot_id="1"', ""): "_x10 864000+15x20"},
        "4m",
    ),
    quiet(
        "error-rate",
        "a second bot in an old process, after which no id is on its series",
        {
            _ERRORS[:-1] + ', telegram_bot_id="1"}': "500x20 _x40",
            _ERRORS: "_x21 500x40",
            _UPTIME: "864000+15x20 _x40",
            _UPTIME.replace(', telegram_bot_id="1"', ""): "_x21 864300+15x40",
        },
        "6m",
    ),
    fires(
        "error-rate",
        "a new kind in a process that is known",
        {_ERRORS: "_x10 12x20", _UPTIME.replace(', telegram_bot_id="1"', ""): "864000+15x40"},
        "3m30s",
        "12",
    ),
    fires(
        "database-down",
        "PostgreSQL refuses",
        {_CONNECTIONS + '"postgresql"}': "0x4 3x20"},
        "90s",
        "3",
        db_system_name="postgresql",
    ),
    quiet("database-down", "Redis has a rule of its own", {_CONNECTIONS + '"redis"}': "0x4 3x20"}, "90s"),
    quiet("database-down", "it is back", {_CONNECTIONS + '"postgresql"}': "0x4 3x40"}, "6m"),
    fires(
        "slow-updates",
        "all take between 5 and 10 s",
        _buckets(_DURATION, {"5": "0x40", "10": "0+2x40", "+Inf": "0+2x40"}),
        "5m",
        "9.75s",
    ),
    fires(
        "slow-updates",
        "the first update of the bot's life",
        _buckets(_DURATION, {"5": "_x4 0x40", "10": "_x4 1x40", "+Inf": "_x4 1x40"}),
        "4m",
        "9.75s",
    ),
    quiet(
        "slow-updates",
        "one in a hundred",
        _buckets(_DURATION, {"5": "0+99x40", "10": "0+100x40", "+Inf": "0+100x40"}),
        "5m",
    ),
    fires("bot-silent", "no poll succeeds", {_AGE: "0+15x40", _UPTIME: "0+15x40"}, "4m", "4m 0s", telegram_bot_id="1"),
    fires(
        "bot-silent",
        "the process is gone",
        {_AGE: "3x8 _x40", _UPTIME: "0+15x8 _x40"},
        "10m",
        "8m 0s",
        telegram_bot_id="1",
    ),
    fires(
        "bot-silent",
        "a webhook bot is gone",
        {_HANDLED: "0+1x8 _x40", _UPTIME.replace(', telegram_bot_id="1"', ""): "0+15x8 _x40"},
        "10m",
        "8m 0s",
    ),
    quiet("slow-updates", "no more traffic", _buckets(_DURATION, {"5": "0x4 5x80", "+Inf": "0x4 5x80"}), "15m"),
    quiet("bot-silent", "a script that ended", {_UPTIME.replace(', telegram_bot_id="1"', ""): "0+15x8 _x80"}, "15m"),
    quiet("bot-silent", "some exports were lost", {_AGE: "3x4 _x6 3x40", _UPTIME: "0+15x4 _x6 165+15x40"}, "3m"),
    fires(
        "bot-silent",
        "a deploy that cannot poll",
        {
            _AGE[:-1] + ', service_instance_id="a"}': "3x8 _x60",
            _AGE[:-1] + ', service_instance_id="b"}': "_x9 3+15x60",
            _UPTIME: "0+15x60",
        },
        "5m30s",
        "3m 18s",
        telegram_bot_id="1",
    ),
    quiet(
        "bot-silent",
        "the Collector is away, which is an alert of its own",
        {_AGE: "3x8 _x60", _UPTIME: "0+15x8 _x60", 'up{job="otel-collector"}': "1x8 0x60"},
        "10m",
    ),
    quiet("bot-silent", "all is well", {_AGE: "8x40", _UPTIME: "0+15x40"}, "10m"),
    quiet(
        "bot-silent",
        "a restart under another instance",
        {
            _AGE[:-1] + ', service_instance_id="a"}': "3x8 _x60",
            _AGE[:-1] + ', service_instance_id="b"}': "_x10 3x60",
            _UPTIME: "0+15x60",
        },
        "10m",
    ),
    quiet(
        "bot-silent",
        "the bot's id is known a little later than the process",
        {_UPTIME.replace(', telegram_bot_id="1"', ""): "0+15x2 _x60", _UPTIME: "_x2 30+15x60", _AGE: "_x2 3x60"},
        "10m",
    ),
    fires(
        "token-revoked",
        "every call is refused",
        {_REFUSED + '"unauthorized"}': "_x4 1+1x20"},
        "2m",
        "5",
        telegram_bot_id="1",
    ),
    quiet("token-revoked", "somebody blocked the bot", {_REFUSED + '"blocked"}': "0x4 0+3x20"}, "2m"),
    fires(
        "two-pollers",
        "for minutes",
        {_POLLING + '"TelegramConflictError"}': "0x4 0+2x40"},
        "6m",
        "16",
        telegram_bot_id="1",
    ),
    quiet("two-pollers", "45 s of a deploy", {_POLLING + '"TelegramConflictError"}': "0x4 2 4 6 8x40"}, "4m30s"),
    fires("flood-control", "a broadcast", {_WAITED: "0+5x40"}, "5m", "1m 40s", telegram_bot_id="1"),
    quiet("flood-control", "one 429", {_WAITED: "_x4 30x40", _UPTIME: "0+15x40"}, "3m"),
    fires(
        "update-backlog",
        "messages are a minute old",
        _buckets(_DELAY, {"30": "0x40", "60": "0+2x40", "+Inf": "0+2x40"}),
        "6m",
        "58.5s",
    ),
    quiet(
        "update-backlog",
        "what waited during a restart, and then nothing did",
        _buckets(_DELAY, {"0.5": "0x8 0+2x40", "30": "0x8 0+2x40", "60": "0x7 20 20+2x40", "+Inf": "0x7 20 20+2x40"}),
        "5m",
    ),
    quiet("update-backlog", "fresh ones", _buckets(_DELAY, {"0.5": "0+2x40", "30": "0+2x40", "+Inf": "0+2x40"}), "6m"),
    fires(
        "blocked-jump",
        "120 an hour where 12 are usual",
        {_REFUSED + '"blocked"}': "0+0.2x1500 302+2x60", _UPTIME: "0+60x1600"},
        "1560m",
        "10.0",
        "1m",
    ),
    quiet("blocked-jump", "as ever", {_REFUSED + '"blocked"}': "0+0.2x1600", _UPTIME: "0+60x1600"}, "1560m", "1m"),
    quiet(
        "blocked-jump",
        "the first ten of a new bot",
        {_REFUSED + '"blocked"}': "_x30 10x90", _UPTIME: "0+60x120"},
        "50m",
        "1m",
    ),
    fires("error-budget-fast", "a third fails", {_HANDLED: "0+2x280", _FAILED: "0+1x280"}, "65m", "33.3"),
    fires(
        "error-budget-fast",
        "an error handler that apologises is a failure too",
        {_HANDLED: "0+2x280", _ANSWERED: "0+1x280"},
        "65m",
        "33.3",
    ),
    quiet("error-budget-fast", "one in a hundred", {_HANDLED: "0+99x280", _FAILED: "0+1x280"}, "65m"),
    quiet("error-budget-fast", "it has stopped", {_HANDLED: "0+2x280", _FAILED: "0+1x200 200x80"}, "65m"),
    quiet(
        "error-budget-fast", "one of three updates of a night", {_HANDLED: "0x10 2x270", _FAILED: "0x10 1x270"}, "5m"
    ),
    quiet("error-budget-fast", "three failures of a quiet bot", {_HANDLED: "0x10 9x270", _FAILED: "0x10 3x270"}, "5m"),
    fires("error-budget-slow", "a tenth, for hours", {_HANDLED: "0+9x1500", _FAILED: "0+1x1500"}, "370m", "10.0"),
    quiet(
        "error-budget-slow",
        "a bad quarter of an hour",
        {_HANDLED: "0+9x1500", _FAILED: "0x1340 0+2x60 120x100"},
        "370m",
    ),
    fires("loop-blocked", "again and again", {_BLOCKS: "0+1x40"}, "6m", "20"),
    quiet("loop-blocked", "at the start only", {_BLOCKS: "4x40"}, "6m"),
    fires(
        "pool-exhausted",
        "all in use",
        {_USED: "10x20", _IDLE: "0x20", _MOST: "10x20"},
        "2m",
        "100%",
        db_system_name="postgresql",
        db_client_connection_pool_name="db/shop",
    ),
    quiet("pool-exhausted", "half", {_USED: "5x20", _IDLE: "5x20", _MOST: "10x20"}, "2m"),
    fires(
        "pool-exhausted",
        "of one of two replicas",
        {
            _USED[:-1] + ', service_instance_id="a"}': "10x20",
            _USED[:-1] + ', service_instance_id="b"}': "0x20",
            _MOST[:-1] + ', service_instance_id="a"}': "10x20",
            _MOST[:-1] + ', service_instance_id="b"}': "10x20",
        },
        "2m",
        "100%",
        db_system_name="postgresql",
        db_client_connection_pool_name="db/shop",
    ),
    fires("redis-down", "Redis refuses", {_CONNECTIONS + '"redis"}': "0x4 3x20"}, "90s", "3"),
    quiet("redis-down", "PostgreSQL does", {_CONNECTIONS + '"postgresql"}': "0x4 3x20"}, "90s"),
    fires("telemetry-dropped", "the queue ran over", {_DROPPED: "_x4 100x40"}, "2m", "100", signal="traces"),
    quiet("telemetry-dropped", "nothing", {_DROPPED: "0x40"}, "5m"),
    stack_fires("telemetry-missing", "there was never any", {}, "2m", "0"),
    stack_fires("telemetry-missing", "it stopped", {_UPTIME: "0+15x40 _x60"}, "22m", "0"),
    quiet("telemetry-missing", "it comes", {_UPTIME: "0+15x60"}, "12m"),
    stack_fires(
        "collector-queue",
        "Tempo is away",
        {_QUEUE: "600x20", _CAPACITY: "1000x20"},
        "4m",
        "60%",
        exporter="otlp_http/tempo",
        data_type="traces",
    ),
    quiet("collector-queue", "a batch waits", {_QUEUE: "10x20", _CAPACITY: "1000x20"}, "4m"),
    stack_fires("collector-disk", "nine tenths", {_DISK: "0.9x60"}, "10m", "90%", mountpoint="/var/lib/otelcol"),
    quiet("collector-disk", "half", {_DISK: "0.5x60"}, "10m"),
    stack_fires(
        "part-down", "Tempo is away", {'up{job="tempo"}': "1x4 0x20", 'up{job="loki"}': "1x40"}, "4m", "0", job="tempo"
    ),
    quiet("part-down", "it restarts", {'up{job="tempo"}': "1x4 0x4 1x20"}, "4m"),
    stack_fires(
        "collector-loses",
        "Tempo refuses",
        {_LOST: "_x4 3x20", _CAPACITY: "1x40"},
        "2m",
        "3",
        exporter="otlp_http/tempo",
    ),
    stack_fires(
        "collector-loses", "a queue is full", {_LOST: "3x20", _FULL: "0+5x20"}, "2m", "43", exporter="otlp_http/tempo"
    ),
    stack_fires(
        "collector-loses",
        "sampling has more traces than room",
        {"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early": "_x4 7x20"},
        "2m",
        "7",
        exporter="tail_sampling",
    ),
    quiet("collector-loses", "what it lost a while ago", {_LOST: "3x80", _CAPACITY: "1x80"}, "14m"),
)
