"""How telemetry leaves the process: scrubbed, encoded, queued by bytes, sent with the OTLP specification's retries."""
