# The image of the example bot in examples/compose-bot: a pattern to copy. Two stages, so that pip and its cache stay
# behind; no root; the bot starts under otelbot-instrument, and nothing else about it is special.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY . /source
# In a clone of otelbot, that otelbot; elsewhere the release of this version, which has to be on PyPI. Empty: the newest.
ARG OTELBOT_VERSION=
RUN if [ -f /source/pyproject.toml ]; then /venv/bin/pip install /source; \
    else /venv/bin/pip install "otelbot${OTELBOT_VERSION:+==$OTELBOT_VERSION}"; fi \
    && /venv/bin/pip install -r /source/examples/compose-bot/requirements.txt

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10002 --no-create-home --shell /usr/sbin/nologin bot
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
COPY examples/compose-bot /app
WORKDIR /app
USER 10002:10002
# Asked for inside of the container; `docker ps` shows what it says, and nothing is restarted by it.
ENV OTELBOT_HEALTH_PORT=8080
HEALTHCHECK --interval=60s --timeout=15s --start-period=60s CMD ["otelbot", "health"]
CMD ["otelbot-instrument", "python", "bot.py"]
