"""What .env must have for what is chosen: an overlay or a profile that starts without it only fails later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROFILES = ("postgres", "redis", "host", "bot")
#: By profile: the variable, and where its value comes from.
_PROFILES = {
    "postgres": ("POSTGRES_MONITOR_PASSWORD", "write the password of a user that has pg_monitor into .env"),
    "bot": ("BOT_TOKEN", "write the bot's token into .env"),
}
#: By overlay.
_OVERLAYS = {"remote.yaml": ("REMOTE_OTLP_ENDPOINT", "write the address that takes the telemetry into .env")}


def chosen(values: Mapping[str, str], profiles: Sequence[str] = ()) -> list[str]:
    """Return the profiles that are started: those named on the command line, and those of COMPOSE_PROFILES."""
    named = [name.strip() for name in values.get("COMPOSE_PROFILES", "").split(",")]
    every = [*profiles, *(name for name in named if name)]
    return list(dict.fromkeys([*every, *(PROFILES if "*" in every else ())]))


def missing(values: Mapping[str, str], profiles: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return each variable that is empty though it is needed, with a sentence."""
    overlays = values.get("COLLECTOR_OVERLAYS", "")
    needed = [(*_PROFILES[name], f"the profile {name}") for name in chosen(values, profiles) if name in _PROFILES]
    needed += [(*need, f"COLLECTOR_OVERLAYS with {name}") for name, need in _OVERLAYS.items() if name in overlays]
    return [
        (variable, f"{variable} is empty, and {reason} needs it: {mend}")
        for variable, mend, reason in needed
        if not values.get(variable, "").strip()
    ]
