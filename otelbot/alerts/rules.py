"""Every alert rule, once; those about the stack itself are in `stack_rules.py`. `render.py` writes Grafana's and
Prometheus' files from them.

A rule has a value (a PromQL expression for each service), a limit, and what it says in English and in Persian. In the
texts `{value}` is the value in its unit and `{service_name}`, or any other label, that of the series. A `uid` never
changes: Grafana keeps a rule that leaves its file, so one that is retired is paused instead.
"""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts.promql import BY, grown, label, or_zero, quantile, series
from otelbot.alerts.rule import Rule, Text
from otelbot.alerts.stack_rules import COLLECTOR_DISK, COLLECTOR_LOSES, COLLECTOR_QUEUE, PART_DOWN, TELEMETRY_MISSING

SLO = 0.99  #: share of the updates that are handled without an error
_ERRORS = f'{label(signals.UPDATE_OUTCOME)}=~"error|error_handled"'
#: Updates within a window; what fails of fewer than these says little.
_FEW = {"5m": 20, "30m": 20, "1h": 100, "6h": 100}


def burn(window: str) -> str:
    """Return how many times too fast the error budget is spent: 1 spends just all of it."""
    count = series(signals.UPDATE_DURATION, part="_count")
    failed = series(signals.UPDATE_DURATION, _ERRORS, part="_count")
    if window in {"5m", "30m", "1h"}:
        all_of_it, errors = grown(count, window), grown(failed, window)
    else:
        all_of_it, errors = f"increase({count}[{window}])", f"increase({failed}[{window}])"
    total = f"sum by ({BY}) ({all_of_it})"
    return f"((sum by ({BY}) ({errors}) or 0 * {total}) / clamp_min({total}, {_FEW[window]}) / {1 - SLO:g})"


def _both(short: str, long: str) -> str:
    """Return the smaller of two burn rates: the long window says that it matters, the short one that it goes on."""
    windows = (f'label_replace({burn(window)}, "window", "{window}", "", "")' for window in (short, long))
    return f"min by ({BY}) ({' or '.join(windows)})"


#: Seconds without a successful poll; since a poller's last metric; since the last metric of a bot that does not poll.
_BOT = f"{BY}, {label(signals.BOT_ID)}"
_LAST = "time() - max by ({by}) (timestamp({series}) or max_over_time(timestamp({series})[1d:1m]))"
_POLL_AGE = f"min by ({_BOT}) (last_over_time({series(signals.POLLING_AGE)}[2m]))"
_POLLER_AGE = _LAST.format(by=_BOT, series=series(signals.POLLING_AGE))
#: Of what has handled updates: a script that ended is no bot.
_HANDLED = f"max by ({BY}) (last_over_time({series(signals.UPDATE_DURATION, part='_count')}[1d]))"
_PROCESS_AGE = f"{_LAST.format(by=BY, series=series(signals.PROCESS_UPTIME))} and on ({BY}) {_HANDLED}"
_SYSTEM = label(signals.DB_SYSTEM)
_BLOCKED = series(signals.API_REJECTIONS, 'reason="blocked"')
_DATABASE_FAILURES = series(signals.DB_CONNECTION_FAILURES, f'{_SYSTEM}!="redis"')
_REDIS_FAILURES = series(signals.DB_CONNECTION_FAILURES, f'{_SYSTEM}="redis"')
_UNAUTHORIZED = series(signals.API_REJECTIONS, 'reason="unauthorized"')
_CONFLICTS = series(signals.POLLING_FAILURES, 'error_type="TelegramConflictError"')
_USED = series(signals.DB_CONNECTIONS, f'{label(signals.DB_CONNECTION_STATE)}="used"')
_POOL = f"{BY}, {_SYSTEM}, {label(signals.DB_POOL)}"

MEMORY_HIGH = Rule(
    "otelbot-memory-high",
    Text("Memory high", "مصرف زیاد حافظه"),
    "warning",
    f"max by ({BY}) (last_over_time({series(signals.PROCESS_MEMORY)}[90s]))",
    above=True,
    threshold=500 * 1024 * 1024,
    unit="bytes",
    wait=120,
    keep=60,
    summary=Text("{service_name} uses {value} of memory", "{service_name} به اندازهٔ {value} حافظه مصرف می‌کند"),
    description=Text(
        "The limit is 500 MiB. See whether it grows without end (a leak) or came with more users.",
        "حد مجاز ۵۰۰ مبی‌بایت است. ببینید پیوسته بیشتر می‌شود (نشت حافظه) یا با کاربران بیشتر آمده است.",
    ),
)
ERROR_RATE = Rule(
    "otelbot-error-rate",
    Text("Many errors", "خطاهای زیاد"),
    "error",
    or_zero(f"sum by ({BY}) ({grown(series(signals.ERRORS), '1m')})"),
    above=True,
    threshold=10,
    unit="count",
    wait=30,
    keep=60,
    summary=Text("{service_name}: {value} errors within a minute", "{service_name}: {value} خطا در یک دقیقه"),
    description=Text(
        "The limit is 10 a minute. Errors & logs shows which they are and where they come from.",
        "حد مجاز ۱۰ خطا در دقیقه است. داشبورد Errors & logs نوع و منشأ آن‌ها را نشان می‌دهد.",
    ),
)
DATABASE_DOWN = Rule(
    "otelbot-database-down",
    Text("Database connection failed", "اتصال به پایگاه داده ناموفق"),
    "critical",
    f"sum by ({BY}, {_SYSTEM}) ({grown(_DATABASE_FAILURES, '2m')})",
    above=True,
    threshold=0,
    unit="count",
    wait=10,
    keep=60,
    summary=Text(
        "{service_name} cannot connect to {db_system_name}: {value} attempts failed",
        "{service_name} نمی‌تواند به {db_system_name} وصل شود: {value} تلاش ناموفق",
    ),
    description=Text(
        "Counted over the last 2 minutes. Is the server running, and does it take the bot's user and password?",
        "در ۲ دقیقهٔ گذشته. آیا سرور روشن است و نام کاربری و گذرواژهٔ ربات را می‌پذیرد؟",
    ),
)
SLOW_UPDATES = Rule(
    "otelbot-slow-updates",
    Text("Slow answers", "پاسخ‌های کند"),
    "warning",
    quantile(0.95, signals.UPDATE_DURATION, "5m"),
    above=True,
    threshold=5,
    unit="seconds",
    wait=60,
    keep=60,
    every=30,
    summary=Text(
        "{service_name}: the slowest answers take about {value}",
        "{service_name}: کندترین پاسخ‌ها حدود {value} طول می‌کشند",
    ),
    description=Text(
        "The limit is 5 s (95th percentile of 5 minutes). Updates & handlers shows which handler; its traces show why.",
        "حد مجاز ۵ ثانیه است (صدک ۹۵ در ۵ دقیقه)."
        " داشبورد Updates & handlers نشان می‌دهد کدام handler کند است و traceهای آن علت را.",
    ),
)
BOT_SILENT = Rule(
    "otelbot-bot-silent",
    Text("Bot silent", "ربات خاموش"),
    "critical",
    f'max by ({_BOT}) (label_replace({_POLL_AGE}, "sign", "poll", "", "")'
    f' or label_replace({_POLLER_AGE}, "sign", "poller", "", "")'
    f" or (({_PROCESS_AGE}) unless on ({BY}) ({_POLLER_AGE})))"
    # While the Collector is away nobody knows, and that is an alert of its own.
    ' unless on () (max(up{job="otel-collector"}) == 0)',
    above=True,
    threshold=120,
    unit="seconds",
    wait=30,
    keep=0,
    every=30,
    summary=Text(
        "{service_name} has not polled or reported for {value}",
        "از {service_name} به مدت {value} خبری نیست",
    ),
    description=Text(
        "No successful getUpdates, or no metric at all, for 2 minutes. Is the process running, does it reach Telegram?"
        " A bot that was taken away for good stops alerting after a day.",
        "۲ دقیقه است که getUpdates موفقی نبوده یا هیچ متریکی نرسیده است. آیا برنامه اجرا می‌شود و به تلگرام می‌رسد؟"
        " هشدار رباتی که برای همیشه کنار گذاشته شده پس از یک روز پایان می‌یابد.",
    ),
)
TOKEN_REVOKED = Rule(
    "otelbot-token-revoked",
    Text("Token refused", "توکن رد شد"),
    "critical",
    or_zero(f"sum by ({_BOT}) ({grown(_UNAUTHORIZED, '2m')})", _BOT),
    above=True,
    threshold=0,
    unit="count",
    wait=10,
    keep=120,
    summary=Text(
        "Telegram refuses the token of {service_name}, bot {telegram_bot_id} (401)",
        "تلگرام توکن {service_name}، ربات {telegram_bot_id}، را نمی‌پذیرد (401)",
    ),
    description=Text(
        "{value} calls within 2 minutes. It was revoked or mistyped: get the current one from @BotFather and restart.",
        "{value} فراخوانی در ۲ دقیقه. توکن باطل یا اشتباه است: توکن تازه را از @BotFather بگیرید و ربات را"
        " دوباره اجرا کنید.",
    ),
)
TWO_POLLERS = Rule(
    "otelbot-two-pollers",
    Text("Two pollers", "دو دریافت‌کننده"),
    "error",
    f"sum by ({_BOT}) ({grown(_CONFLICTS, '2m')})",
    above=True,
    threshold=0,
    unit="count",
    wait=180,
    keep=60,
    summary=Text(
        "Somebody else polls for {service_name}, bot {telegram_bot_id}, too (409): {value} times in 2 minutes",
        "برنامهٔ دیگری هم برای {service_name}، ربات {telegram_bot_id}، getUpdates می‌گیرد (409): {value} بار در ۲ دقیقه",
    ),
    description=Text(
        "Two processes with one token take updates from each other, or a webhook is set: stop one of them.",
        "دو برنامه با یک توکن به‌روزرسانی‌ها را از هم می‌گیرند، یا webhook تنظیم شده است: یکی را متوقف کنید.",
    ),
)
FLOOD_CONTROL = Rule(
    "otelbot-flood-control",
    Text("Flood control (429)", "محدودیت ارسال (429)"),
    "warning",
    or_zero(f"sum by ({_BOT}) ({grown(series(signals.API_RETRY_AFTER), '5m')})", _BOT),
    above=True,
    threshold=60,
    unit="seconds",
    wait=30,
    keep=60,
    summary=Text(
        "Telegram asked {service_name}, bot {telegram_bot_id}, to wait {value} in all, within 5 minutes (429)",
        "تلگرام در ۵ دقیقه از {service_name}، ربات {telegram_bot_id}، خواست روی هم {value} صبر کند (429)",
    ),
    description=Text(
        "The limit is 60 s. Send more slowly: about 30 messages a second in all, one a second to a chat, 20 a"
        " minute to a group.",
        "حد مجاز ۶۰ ثانیه است. کندتر بفرستید: حدود ۳۰ پیام در ثانیه در کل، یکی در ثانیه به هر گفتگو، ۲۰ در دقیقه"
        " به هر گروه.",
    ),
)
UPDATE_BACKLOG = Rule(
    "otelbot-update-backlog",
    Text("Updates wait", "صف به‌روزرسانی‌ها"),
    "warning",
    quantile(0.95, signals.UPDATE_DELAY, "2m"),
    above=True,
    threshold=30,
    unit="seconds",
    wait=180,
    keep=60,
    every=30,
    summary=Text(
        "Messages to {service_name} wait for {value} before they are handled",
        "پیام‌ها به {service_name} پیش از رسیدگی {value} منتظر می‌مانند",
    ),
    description=Text(
        "The limit is 30 s (95th percentile of 2 minutes). The bot was away, or takes longer than the messages"
        " take to come.",
        "حد مجاز ۳۰ ثانیه است (صدک ۹۵ در ۲ دقیقه). ربات خاموش بوده یا کندتر از آمدن پیام‌ها کار می‌کند.",
    ),
)
BLOCKED_JUMP = Rule(
    "otelbot-blocked-jump",
    Text("Many users block the bot", "کاربران ربات را مسدود می‌کنند"),
    "warning",
    or_zero(f"sum by ({BY}) ({grown(_BLOCKED, '1h')})")
    + f" / clamp_min({or_zero(f'sum by ({BY}) (increase({_BLOCKED}[1d] offset 1h)) / 24')}, 5)",
    above=True,
    threshold=3,
    unit="times",
    wait=300,
    keep=600,
    every=60,
    summary=Text(
        "{service_name} meets {value} times as many blocked chats as usual",
        "شمار گفتگوهای مسدود {service_name} {value} برابر معمول شده است",
    ),
    description=Text(
        "The last hour against an hour of the day before (at least 5). What was sent to so many?",
        "یک ساعت گذشته در برابر میانگین ساعتی روز پیش (دست‌کم ۵). چه چیزی برای این همه فرستاده شد؟",
    ),
)
BUDGET_FAST = Rule(
    "otelbot-error-budget-fast",
    Text("Error budget burns fast", "بودجهٔ خطا به‌سرعت می‌سوزد"),
    "critical",
    _both("5m", "1h"),
    above=True,
    threshold=14.4,
    unit="times",
    wait=60,
    keep=300,
    every=60,
    summary=Text(
        "{service_name} fails {value} times as often as it may",
        "{service_name} {value} برابر حد مجاز خطا می‌دهد",
    ),
    description=Text(
        "1 % of the updates may fail. At the pace of the last hour and 5 minutes a month's budget is gone in two days.",
        "۱٪ به‌روزرسانی‌ها می‌توانند خطا بدهند. با این آهنگ (یک ساعت و ۵ دقیقهٔ گذشته) بودجهٔ یک ماه در دو روز تمام می‌شود.",
    ),
)
BUDGET_SLOW = Rule(
    "otelbot-error-budget-slow",
    Text("Error budget burns", "بودجهٔ خطا می‌سوزد"),
    "warning",
    _both("30m", "6h"),
    above=True,
    threshold=6,
    unit="times",
    wait=300,
    keep=600,
    every=60,
    summary=Text(
        "{service_name} fails {value} times as often as it may, for hours",
        "{service_name} ساعت‌هاست {value} برابر حد مجاز خطا می‌دهد",
    ),
    description=Text(
        "1 % of the updates may fail."
        " At the pace of the last 6 hours and 30 minutes a month's budget is gone in five days.",
        "۱٪ به‌روزرسانی‌ها می‌توانند خطا بدهند. با این آهنگ (۶ ساعت و ۳۰ دقیقهٔ گذشته) بودجهٔ یک ماه در پنج روز تمام می‌شود.",
    ),
)
LOOP_BLOCKED = Rule(
    "otelbot-loop-blocked",
    Text("Event loop blocked", "حلقهٔ رویداد مسدود"),
    "warning",
    f"sum by ({BY}) ({grown(series(signals.LOOP_BLOCKED), '5m')})",
    above=True,
    threshold=10,
    unit="count",
    wait=30,
    keep=60,
    summary=Text(
        "Something blocked the event loop of {service_name} {value} times in 5 minutes",
        "چیزی در ۵ دقیقه {value} بار حلقهٔ رویداد {service_name} را مسدود کرد",
    ),
    description=Text(
        "The limit is 10 blocks of over 0.1 s. All users wait meanwhile; the log record names the line of code.",
        "حد مجاز ۱۰ بارِ ۰٫۱ ثانیه‌ای است. در این مدت همهٔ کاربران منتظرند؛ لاگ خط کد را نشان می‌دهد.",
    ),
)
POOL_EXHAUSTED = Rule(
    "otelbot-pool-exhausted",
    Text("Connection pool full", "پر شدن استخر اتصال"),
    "error",
    f"max by ({_POOL}) (sum by ({_POOL}, service_instance_id) ({_USED})"
    f" / sum by ({_POOL}, service_instance_id) ({series(signals.DB_CONNECTIONS_MAX)}))",
    above=True,
    threshold=0.9,
    unit="ratio",
    wait=30,
    keep=60,
    summary=Text(
        "{service_name} uses {value} of its connections to {db_system_name}",
        "{service_name} {value} از اتصال‌هایش به {db_system_name} را به کار گرفته است",
    ),
    description=Text(
        "Beyond 90 % handlers wait for one another. A handler that keeps a connection while it waits for"
        " something else?",
        "بالای ۹۰٪ handlerها منتظر هم می‌مانند. شاید یک handler اتصال را هنگام انتظار برای چیز دیگری نگه می‌دارد؟",
    ),
)
REDIS_DOWN = Rule(
    "otelbot-redis-down",
    Text("Redis down", "Redis در دسترس نیست"),
    "critical",
    f"sum by ({BY}) ({grown(_REDIS_FAILURES, '2m')})",
    above=True,
    threshold=0,
    unit="count",
    wait=10,
    keep=60,
    summary=Text(
        "{service_name} cannot connect to Redis: {value} attempts failed",
        "{service_name} نمی‌تواند به Redis وصل شود: {value} تلاش ناموفق",
    ),
    description=Text(
        "Counted over the last 2 minutes. With a Redis storage no update is handled while it is away.",
        "در ۲ دقیقهٔ گذشته. اگر وضعیت گفتگوها در Redis باشد تا برگشت آن هیچ پیامی رسیدگی نمی‌شود.",
    ),
)
TELEMETRY_DROPPED = Rule(
    "otelbot-telemetry-dropped",
    Text("Telemetry dropped", "از دست رفتن داده‌های پایش"),
    "warning",
    f"sum by ({BY}, {signals.SIGNAL}) ({grown(series(signals.EXPORT_DROPPED), '5m')})",
    above=True,
    threshold=0,
    unit="count",
    wait=30,
    keep=300,
    summary=Text(
        "{service_name} dropped {value} items of its {signal}",
        "{service_name} {value} مورد از {signal} خود را دور انداخت",
    ),
    description=Text(
        "Within 5 minutes: the Collector was away for longer than the bot's memory lasts, or refuses what comes.",
        "در ۵ دقیقه: Collector بیش از گنجایش حافظهٔ ربات در دسترس نبوده یا داده‌ها را نمی‌پذیرد.",
    ),
)
RULES: tuple[Rule, ...] = (
    MEMORY_HIGH,
    ERROR_RATE,
    DATABASE_DOWN,
    SLOW_UPDATES,
    BOT_SILENT,
    TOKEN_REVOKED,
    TWO_POLLERS,
    FLOOD_CONTROL,
    UPDATE_BACKLOG,
    BLOCKED_JUMP,
    BUDGET_FAST,
    BUDGET_SLOW,
    LOOP_BLOCKED,
    POOL_EXHAUSTED,
    REDIS_DOWN,
    TELEMETRY_DROPPED,
    TELEMETRY_MISSING,
    COLLECTOR_QUEUE,
    COLLECTOR_DISK,
    PART_DOWN,
    COLLECTOR_LOSES,
)
