"""The embedded default: receives OTLP, keeps it in SQLite, shows it on a live page. Never part of the bot's process."""
