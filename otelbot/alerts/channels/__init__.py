"""Where alerts go, Telegram, e-mail and a webhook: their settings and what sends through them.

The stack's Grafana does the sending itself; `otelbot dashboard` sends by these, and both try a channel by them.
"""
