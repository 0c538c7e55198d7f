"""What telemetry costs a bot: otelbot and the alternatives side by side, the same bot and the same updates for each."""
