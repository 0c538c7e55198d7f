"""`otelbot demo`: a tea shop's bot, a Bot API server of our own, users that talk to it, and a view of what it tells.

The servers here (`bot_api`, `otlp`, `services`) are real ones on 127.0.0.1: the tests of other rooms use them as well.
"""
