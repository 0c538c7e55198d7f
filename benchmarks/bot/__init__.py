"""The bot that is measured; it runs in the environment of each variant and imports nothing of the driver."""
