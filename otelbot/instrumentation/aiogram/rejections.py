"""Why Telegram refused a call, in a few words: what it says is text for people, with chats and users in it.

https://core.telegram.org/bots/api#making-requests: an unsuccessful answer explains itself in `description`, whose
"contents are subject to change", so a reason that is not known falls back to what the status says.
"""

from __future__ import annotations

#: A sign in the description, in lower case → reason. The first that fits counts.
_SIGNS: tuple[tuple[str, str], ...] = (
    ("blocked by the user", "blocked"),
    ("user is deactivated", "deactivated"),
    ("bot was kicked", "kicked"),
    ("bot is not a member", "not_member"),
    ("can't initiate conversation", "not_started"),
    ("chat not found", "chat_not_found"),
    ("user not found", "user_not_found"),
    ("message is not modified", "not_modified"),
    ("query is too old", "query_too_old"),
    ("can't parse", "cant_parse"),
    ("message to be replied not found", "message_not_found"),
    ("message to ", "message_not_found"),
    ("message_id_invalid", "message_not_found"),
    ("message can't be", "message_locked"),
    ("not enough rights", "not_enough_rights"),
    ("have no rights", "not_enough_rights"),
    ("need administrator rights", "not_enough_rights"),
    ("message is too long", "too_long"),
    ("caption is too long", "too_long"),
    ("message text is empty", "empty"),
    ("file is too big", "too_large"),
    ("wrong file identifier", "file_not_found"),
    ("wrong remote file identifier", "file_not_found"),
    ("upgraded to a supergroup", "migrated"),
    ("topic_closed", "topic_closed"),
    ("terminated by other getupdates", "conflict"),
)
#: By the exception's class, for what no sign tells.
_CLASSES: dict[str, str] = {
    "TelegramRetryAfter": "rate_limited",
    "TelegramMigrateToChat": "migrated",
    "TelegramUnauthorizedError": "unauthorized",
    "TelegramForbiddenError": "forbidden",
    "TelegramNotFound": "not_found",
    "TelegramConflictError": "conflict",
    "TelegramEntityTooLarge": "too_large",
    "TelegramBadRequest": "bad_request",
}


def reason(error: BaseException) -> str | None:
    """Return why Telegram refused, e.g. `blocked`, or None for an error that is no refusal (network, 5xx)."""
    by_class = _CLASSES.get(type(error).__name__)
    if by_class is None:
        return None
    text = str(getattr(error, "message", "")).lower()
    return next((found for sign, found in _SIGNS if sign in text), by_class)
