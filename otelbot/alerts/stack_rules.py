"""The alert rules about the stack itself: is telemetry on its way, does it have room."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts.promql import series
from otelbot.alerts.rule import Rule, Text

#: What an exporter failed to send for good or could not even queue, and what sampling lost before it could decide.
_FAILURES = (
    '{__name__=~"otelcol_exporter_(send|enqueue)_failed_(spans|metric_points|log_records)'
    '|otelcol_processor_tail_sampling_(sampling_trace_dropped_too_early|traces_dropped_too_large)"}'
)
_LOST_UNTIL = 'sum by (exporter) (label_replace(last_over_time({}), "exporter", "tail_sampling", "exporter", ""))'
_LOST = _LOST_UNTIL.format(f"{_FAILURES}[5m]")
_LOST_BEFORE = _LOST_UNTIL.format(f"{_FAILURES}[1h] offset 5m")

TELEMETRY_MISSING = Rule(
    "otelbot-telemetry-missing",
    Text("No telemetry", "نرسیدن داده‌های پایش"),
    "error",
    f"count({series(signals.PROCESS_UPTIME)}) or vector(0)",
    above=False,
    threshold=1,
    unit="count",
    wait=60,
    keep=0,
    summary=Text("No bot's metrics arrive", "متریکی از هیچ رباتی نمی‌رسد"),
    description=Text(
        "For more than 5 minutes, or since this stack began. Does the Collector run, and do the bots send to it"
        " (otelbot doctor)? Nothing else can alert about bots now.",
        "بیش از ۵ دقیقه است، یا از آغاز این مجموعه. آیا Collector اجرا می‌شود و ربات‌ها به آن می‌فرستند (otelbot doctor)؟"
        " اکنون هشدار دیگری دربارهٔ ربات‌ها کار نمی‌کند.",
    ),
)
COLLECTOR_QUEUE = Rule(
    "otelbot-collector-queue",
    Text("Collector's queue fills", "پر شدن صف Collector"),
    "warning",
    "max by (exporter, data_type) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
    above=True,
    threshold=0.5,
    unit="ratio",
    wait=120,
    keep=60,
    summary=Text(
        "The queue of {exporter} for {data_type} is {value} full",
        "صف {data_type} در {exporter} به اندازهٔ {value} پر است",
    ),
    description=Text(
        "Its back end is away or too slow: see the health of Prometheus, Tempo and Loki. What does not fit is refused.",
        "مقصد آن در دسترس نیست یا کند است: سلامت Prometheus و Tempo و Loki را ببینید. آنچه جا نشود رد می‌شود.",
    ),
)
COLLECTOR_DISK = Rule(
    "otelbot-collector-disk",
    Text("Disk fills", "پر شدن دیسک"),
    "warning",
    "max by (host_name, mountpoint) (system_filesystem_utilization_ratio)",
    above=True,
    threshold=0.85,
    unit="ratio",
    wait=300,
    keep=300,
    summary=Text("The disk of {mountpoint} is {value} full", "دیسک {mountpoint} به اندازهٔ {value} پر است"),
    description=Text(
        "Beyond 100 % the Collector's queue and every database on it stop. Lower a retention or give it more room.",
        "در ۱۰۰٪ صف Collector و همهٔ پایگاه‌های دادهٔ روی آن می‌ایستند. مدت نگهداری را کم یا فضا را زیاد کنید.",
    ),
)

PART_DOWN = Rule(
    "otelbot-part-down",
    Text("Part of the stack down", "از کار افتادن بخشی از مجموعه"),
    "error",
    "min by (job) (up)",
    above=False,
    threshold=1,
    unit="count",
    wait=120,
    keep=0,
    summary=Text("{job} does not answer", "{job} پاسخ نمی‌دهد"),
    description=Text(
        "For 2 minutes. See `docker compose ps` and its log. What it would have stored waits in the Collector's queue.",
        "۲ دقیقه است. `docker compose ps` و لاگ آن را ببینید. داده‌های آن در صف Collector می‌مانند.",
    ),
)
COLLECTOR_LOSES = Rule(
    "otelbot-collector-loses",
    Text("Collector loses telemetry", "از دست رفتن داده‌ها در Collector"),
    "warning",
    f"({_LOST} - {_LOST_BEFORE}) >= 0 or {_LOST} or 0 * max by (exporter) (otelcol_exporter_queue_capacity)",
    above=True,
    threshold=0,
    unit="count",
    wait=30,
    keep=300,
    summary=Text("{exporter} lost {value} items within 5 minutes", "{exporter} در ۵ دقیقه {value} مورد را از دست داد"),
    description=Text(
        "Its back end refused them for good, or the queue was full. The Collector's log has the answer it got.",
        "مقصد آن‌ها را برای همیشه رد کرد یا صف پر بود. پاسخی که گرفته در لاگ Collector است.",
    ),
)
