"""A variable that can't be used is named with what is used instead, and the SDK never sees it."""

from __future__ import annotations

import pytest

from otelbot import environment
from otelbot.settings import VARIABLES, Settings


@pytest.mark.parametrize(
    "usable",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]:4318/otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
        {"OTEL_TRACES_SAMPLER": "traceidratio"},
        {"OTEL_TRACES_SAMPLER_ARG": "text for another sampler"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e"},
        {"OTEL_PROPAGATORS": "tracecontext, baggage"},
        {"OTEL_PROPAGATORS": "none"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "otlp,console"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"},
        {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4096", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "4096"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "2.5"},
        {"OTEL_SDK_DISABLED": "TRUE"},
    ],
)
def test_what_can_be_used_is_left_alone(usable):
    environ = dict(usable)
    assert environment.discard_unusable(environ) == []
    assert environ == usable


@pytest.mark.parametrize(
    ("unusable", "sentence"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT='localhost:4318' is not a URL that starts with http:// or https://;"
            " using http://localhost:4318",
        ),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://:80"}, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT="),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"},
            "OTEL_TRACES_SAMPLER_ARG='10%' is not a ratio from 0 to 1; using 1.0 (everything)",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "-1"},
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT='-1' is not a positive number",
        ),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "is none of none, gzip, deflate; using none"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "using http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such/file"}, "is not a file that can be read"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "just-a-key"}, "OTEL_EXPORTER_OTLP_HEADERS is not a list of key=value pairs"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "novalue"}, "OTEL_RESOURCE_ATTRIBUTES is not a list"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_TRACES_EXPORTER": "console"},
            "OTEL_BSP_MAX_QUEUE_SIZE='100' makes a batch of 512 larger than the queue of 100;"
            " using a batch of 512 and a queue of 2048",
        ),
        ({"OTEL_SDK_DISABLED": "maybe"}, "OTEL_SDK_DISABLED='maybe' is none of true, false; using false"),
        ({"OTEL_CONFIG_FILE": "otel.yaml"}, "OTEL_CONFIG_FILE is not supported"),
        ({"OTEL_SPAN_LINK_COUNT_LIMIT": "none"}, "OTEL_SPAN_LINK_COUNT_LIMIT='none' is not a whole number"),
        ({"OTEL_TRACES_SAMPLER": "always_on,always_off"}, "names 'always_on,always_off', which is not installed"),
        ({"OTEL_TRACES_EXPORTER": ","}, "OTEL_TRACES_EXPORTER=',' names nothing; using otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "GRPC"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL='GRPC' needs `pip"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-name=Пр"}, "OTEL_EXPORTER_OTLP_HEADERS holds what can't be an HTTP header"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "my header=1"}, "OTEL_EXPORTER_OTLP_HEADERS holds"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=b%0Dc"}, "OTEL_EXPORTER_OTLP_HEADERS holds"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a..b:4318"}, "is not a URL"),
    ],
)
def test_what_can_not_be_used_is_named_and_taken_out(unusable, sentence):
    environ = dict(unusable)
    (problem,) = environment.discard_unusable(environ)
    assert sentence in str(problem)
    name = str(problem).partition("=")[0].partition(" ")[0]
    assert environ.get(name) != unusable[name]
    assert environment.problems(environ) == []


def test_what_was_meant_for_grpc_is_checked_as_what_is_used_instead():
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}
    found = [str(problem).partition("=")[0] for problem in environment.discard_unusable(environ)]
    assert sorted(found) == ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"]
    assert environ == {}


def test_a_batch_that_does_not_fit_leaves_neither_size():
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"}
    (problem,) = environment.discard_unusable(environ)
    assert "using a batch of 2048 and a queue bounded by its bytes" in str(problem)
    assert environ == {}


@pytest.mark.parametrize(
    ("processor", "signal", "exporters"), [("BSP", "TRACES", "otlp,console"), ("BLRP", "LOGS", "console")]
)
def test_a_batch_must_fit_the_queue_that_the_sdk_makes_for_other_exporters(processor, signal, exporters):
    chosen = {f"OTEL_{signal}_EXPORTER": exporters}
    environ = {f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE": "4096", **chosen}
    (problem,) = environment.discard_unusable(environ)
    assert "makes a batch of 4096 larger than the queue of 2048" in str(problem)
    assert "using a batch of 512 and a queue of 2048" in str(problem)
    assert environ == chosen


def test_names_of_the_specification_are_known_in_any_case():
    environ = {"OTEL_TRACES_SAMPLER": "Always_On", "OTEL_TRACES_EXPORTER": "OTLP,otlp", "OTEL_PROPAGATORS": "NONE"}
    assert environment.discard_unusable(environ) == []
    assert environ == {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "none"}


def test_credentials_in_an_endpoint_are_not_shown():
    (problem,) = environment.problems({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://user:s3cr3t@host"})
    assert "s3cr3t" not in str(problem)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_every_variable_of_our_own_has_a_reason_and_a_usable_default(variable):
    assert variable.reason.endswith(".")
    assert variable.unit
    assert variable.read({}) == (variable.default, None)
    assert variable.read({variable.name: "  "}) == (variable.default, None)


def test_settings_are_read_once_with_their_problems():
    settings = Settings.from_environ({"OTELBOT_FLUSH_TIMEOUT": "1.5", "OTELBOT_CAPTURE_USER_ID": "perhaps"})
    assert settings.flush_timeout == 1.5
    assert settings.capture_user_id is False
    (problem,) = settings.problems
    assert str(problem) == "OTELBOT_CAPTURE_USER_ID='perhaps' is neither true nor false; using the default, False"


def test_the_readme_names_every_variable():
    from pathlib import Path

    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for variable in VARIABLES:
        assert f"`{variable.name}`" in readme
