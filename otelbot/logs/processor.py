"""Where the SDK hands over log records for stdout and files, beside their export.

A record is rendered once, on the bot's thread, where its secrets are known; files are written by a thread of theirs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LogRecordProcessor

from otelbot.logs import console, formats

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord

    from otelbot.logs.files import LogFiles
    from otelbot.settings import Settings

#: Seconds of the last flush that the files may take, and of its bound at most.
_LONGEST_CLOSE, _SHARE = 1.0, 0.5


def outputs(settings: Settings) -> LogOutput | None:
    """Return what writes log records as `OTELBOT_LOG_*` say, or None where these ask for nothing."""
    if settings.log_format == "off" and not settings.log_dir:
        return None
    files = _files(settings) if settings.log_dir else None
    output = LogOutput(settings.log_format, files, min(settings.flush_timeout * _SHARE, _LONGEST_CLOSE))
    if settings.log_format != "off":
        output.silence.install()
    return output


def _files(settings: Settings) -> LogFiles:
    from otelbot.logs.files import LogFiles  # its locks are not everywhere
    from otelbot.logs.folder import Rotation

    midnight = settings.log_rotation == "midnight"
    rotation = Rotation(
        max_bytes=None if midnight else settings.log_max_bytes,
        backups=settings.log_backups or (30 if midnight else 5),
        gzip_days=settings.log_gzip_days,
        keep_days=settings.log_keep_days,
    )
    return LogFiles(settings.log_dir, rotation, settings.export_queue_bytes)


class LogOutput(LogRecordProcessor):
    """Writes records to stdout, as `form` says (json, console, off), and to files. Never raises."""

    def __init__(self, form: str, files: LogFiles | None, patience: float) -> None:
        self._form = form
        self._files = files
        self._patience = patience
        self._stdout = console.Stdout()
        self._colours = form == "console" and self._stdout.coloured()
        self.silence = console.Silence()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        with suppress(Exception):  # a record that can't be rendered is printed by the bot's own handlers
            self._write(log_record)

    def _write(self, readable: ReadWriteLogRecord) -> None:
        told = formats.as_dict(readable)
        line = formats.json_line(told) if self._files or self._form == "json" else ""
        if self._form != "off":
            shown = line if self._form == "json" else formats.console_line(told, colours=self._colours)
            scope, created = readable.instrumentation_scope, readable.log_record.timestamp
            if scope is not None and created is not None:
                self.silence.note(scope.name, created)
            self._stdout.write(shown)
        if self._files:
            self._files.write(line.encode() + b"\n", error=told["severity"] in formats.ERRORS)

    def shutdown(self) -> None:
        if self._files:
            self._files.close(self._patience)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._files is None or self._files.flush(min(timeout_millis / 1000, self._patience))
