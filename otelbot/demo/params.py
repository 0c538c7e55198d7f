"""Reads the parameters of a Bot API call from each of the encodings that clients use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader

if TYPE_CHECKING:
    from aiohttp import MultipartReader, web
    from aiohttp.multipart import MultipartResponseWrapper

    from otelbot.demo.telegram import Json

# What people write is text, whatever it looks like; and so are ids that Telegram declares as strings.
_TEXT = {"text", "caption", "callback_query_id", "file_id", "secret_token", "url", "title", "description", "payload"}
_NUMBERS = {"offset", "limit", "timeout", "message_id", "chat_id", "from_chat_id", "user_id", "max_connections"}


async def of_request(request: web.Request) -> Json:
    """Read the query string and the body.

    :raises ValueError: when the body is not what its content type says.
    """
    params: Json = {key: _typed(key, value) for key, value in request.query.items()}
    if not request.can_read_body:
        return params
    if request.content_type == "application/json":
        body = await request.json()
        if not isinstance(body, dict):
            raise ValueError("the body is not a JSON object")
        return params | body
    if request.content_type == "multipart/form-data":
        return params | await of_multipart(await request.multipart())
    form = await request.post()
    return params | {key: _typed(key, value) for key, value in form.items() if isinstance(value, str)}


async def of_multipart(reader: MultipartReader | MultipartResponseWrapper) -> Json:
    """Read form fields; a file is told by its name and size."""
    params: Json = {}
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.filename is not None:
            params[part.name] = {"filename": part.filename, "size": len(await part.read())}
        else:
            params[part.name] = _typed(part.name, await part.text())
    return params


def _typed(key: str, value: str) -> Any:
    """Give a form's string the type that the same parameter has in JSON."""
    if key in _TEXT:
        return value
    if key in _NUMBERS and value.lstrip("-").isdigit():
        return int(value)
    if value in {"true", "false"} or value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
