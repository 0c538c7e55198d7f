"""From OTLP requests to rows."""
