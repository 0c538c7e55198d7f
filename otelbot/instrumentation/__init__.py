"""One module or folder for each instrumented library. aiogram is the heart; the others build on OpenTelemetry's."""
