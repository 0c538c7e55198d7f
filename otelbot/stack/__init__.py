"""What `otelbot stack` does with the Compose stack. Never imported in a bot's process."""
