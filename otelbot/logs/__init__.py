"""What the process says of itself: log records and events on stdout and in files that look after themselves."""
