"""JSON schemas of the files that Grafana provisions itself from, as its documentation describes them.

Grafana says little about a key that it does not know, and not to start is its answer to some that are wrong; so these
allow what is documented and nothing else.

https://grafana.com/docs/grafana/latest/administration/provisioning/
https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_ANY_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_UID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"}
_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(ms|[smhdwy]))+$"}
_CLOCK: Schema = {"type": "string", "pattern": r"^([01][0-9]|2[0-4]):[0-5][0-9]$"}
_TEXTS: Schema = {"type": "object", "additionalProperties": _ANY_TEXT}


def _object(required: Schema, **optional: Schema) -> Schema:
    """Return the schema of an object that has these keys and no others."""
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": items, "minItems": least}


def _file(**lists: Schema) -> Schema:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object({"apiVersion": {"const": 1}}, **lists)}


DATASOURCES = _file(
    prune=_FLAG,
    datasources=_list(
        _object(
            {"name": _TEXT, "uid": _UID, "type": _TEXT, "url": {"type": "string", "pattern": "^https?://"}},
            access={"enum": ["proxy", "direct"]},
            orgId=_COUNT,
            isDefault=_FLAG,
            editable=_FLAG,
            version=_COUNT,
            user=_ANY_TEXT,
            database=_ANY_TEXT,
            basicAuth=_FLAG,
            basicAuthUser=_ANY_TEXT,
            withCredentials=_FLAG,
            jsonData={"type": "object"},
            secureJsonData=_TEXTS,
        )
    ),
    deleteDatasources=_list(_object({"name": _TEXT}, orgId=_COUNT), 0),
)

DASHBOARDS = _file(
    providers=_list(
        _object(
            {"name": _TEXT, "type": {"const": "file"}},
            orgId=_COUNT,
            folder=_ANY_TEXT,
            folderUid=_UID,
            disableDeletion=_FLAG,
            updateIntervalSeconds={"type": "integer", "minimum": 1},
            allowUiUpdates=_FLAG,
            options=_object({"path": _TEXT}, foldersFromFilesStructure=_FLAG),
        )
    )
)

_RULE = _object(
    {
        "uid": _UID,
        "title": {"type": "string", "minLength": 1, "maxLength": 190},
        "condition": _TEXT,
        "data": _list(
            _object(
                {"refId": _TEXT, "datasourceUid": _TEXT, "model": {"type": "object", "required": ["refId"]}},
                queryType=_ANY_TEXT,
                relativeTimeRange=_object({"from": _COUNT, "to": _COUNT}),
            )
        ),
        # Without it a rule whose query fails alerts as if it had found something.
        "execErrState": {"enum": ["OK", "Alerting", "Error", "KeepLast"]},
    },
    noDataState={"enum": ["OK", "Alerting", "NoData", "KeepLast"]},
    **{"for": _DURATION},
    keepFiringFor=_DURATION,
    missing_series_evals_to_resolve=_COUNT,
    dashboardUid=_ANY_TEXT,
    panelId=_COUNT,
    annotations=_TEXTS,
    labels=_TEXTS,
    isPaused=_FLAG,
    notification_settings={"type": "object", "required": ["receiver"]},
    record=_object({"metric": _TEXT, "from": _TEXT}, targetDatasourceUid=_ANY_TEXT),
)
_DELETED = _list(_object({"uid": _UID}, orgId=_COUNT), 0)

RULES = _file(
    groups=_list(_object({"name": _TEXT, "folder": _TEXT, "interval": _DURATION, "rules": _list(_RULE)}, orgId=_COUNT)),
    deleteRules=_DELETED,
)

# As Grafana reads them: numbers and chat ids are strings.
_TELEGRAM = _object(
    {"bottoken": _TEXT, "chatid": {"type": "string", "pattern": r"^(-?[0-9]+|@[A-Za-z0-9_]+|\$.+)$"}},
    message_thread_id={"type": "string", "pattern": r"^[0-9]+$"},
    message=_ANY_TEXT,
    parse_mode={"enum": ["HTML", "Markdown", "MarkdownV2", "None"]},
    disable_web_page_preview=_FLAG,
    protect_content=_FLAG,
    disable_notifications=_FLAG,
)
_EMAIL = _object({"addresses": _TEXT}, singleEmail=_FLAG, message=_ANY_TEXT, subject=_ANY_TEXT)
_WEBHOOK = _object(
    {"url": _TEXT},
    httpMethod={"enum": ["POST", "PUT"]},
    username=_ANY_TEXT,
    password=_ANY_TEXT,
    authorization_scheme=_ANY_TEXT,
    authorization_credentials=_ANY_TEXT,
    maxAlerts={"type": ["string", "integer"]},
    title=_ANY_TEXT,
    message=_ANY_TEXT,
    headers=_TEXTS,
    tlsConfig={"type": "object"},
    payload=_object({"template": _TEXT}, vars=_TEXTS),
    hmacConfig=_object({"secret": _TEXT}, header=_TEXT, timestampHeader=_TEXT),
    http_config={"type": "object"},
)
_SETTINGS = {"telegram": _TELEGRAM, "email": _EMAIL, "webhook": _WEBHOOK}
_RECEIVER = _object({"uid": _UID, "type": _TEXT, "settings": {"type": "object"}}, disableResolveMessage=_FLAG) | {
    # Of the kinds that otelbot does not write, the settings are the user's and Grafana's business.
    "allOf": [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": {"properties": {"settings": settings}},
        }
        for kind, settings in _SETTINGS.items()
    ]
}

CONTACT_POINTS = _file(
    contactPoints=_list(_object({"name": _TEXT, "receivers": _list(_RECEIVER)}, orgId=_COUNT)),
    deleteContactPoints=_DELETED,
)

_MATCHER: Schema = {
    "type": "array",
    "prefixItems": [_TEXT, {"enum": ["=", "!=", "=~", "!~"]}, _ANY_TEXT],
    "items": False,
    "minItems": 3,
}
_ROUTE = _object(
    {},
    receiver=_TEXT,
    group_by=_list(_TEXT),
    matchers=_list(_TEXT),
    object_matchers=_list(_MATCHER),
    mute_time_intervals=_list(_TEXT),
    active_time_intervals=_list(_TEXT),
    group_wait=_DURATION,
    group_interval=_DURATION,
    repeat_interval=_DURATION,
    routes=_list({"$ref": "#/$defs/route"}),
    **{"continue": _FLAG},
)
# The root takes everything, so it has neither matchers nor hours.
_ROOT = _object(
    {"receiver": _TEXT, "group_by": _list(_TEXT)},
    orgId=_COUNT,
    **{name: _ROUTE["properties"][name] for name in ("group_wait", "group_interval", "repeat_interval", "routes")},
)

POLICIES = _file(policies=_list(_ROOT), resetPolicies=_list(_COUNT, 0)) | {"$defs": {"route": _ROUTE}}

TEMPLATES = _file(
    templates=_list(_object({"name": _TEXT, "template": _TEXT}, orgId=_COUNT)),
    deleteTemplates=_list(_object({"name": _TEXT}, orgId=_COUNT), 0),
)

_DAY = "(sun|mon|tues|wednes|thurs|fri|satur)day"
_INTERVAL = _object(
    {},
    times=_list(_object({"start_time": _CLOCK, "end_time": _CLOCK})),
    weekdays=_list({"type": "string", "pattern": f"^{_DAY}(:{_DAY})?$"}),
    days_of_month=_list({"type": "string", "pattern": r"^-?[0-9]{1,2}(:-?[0-9]{1,2})?$"}),
    months=_list(_TEXT),
    years=_list({"type": "string", "pattern": r"^[0-9]{4}(:[0-9]{4})?$"}),
    location=_TEXT,
)

MUTE_TIMES = _file(
    muteTimes=_list(_object({"name": _TEXT, "time_intervals": _list(_INTERVAL)}, orgId=_COUNT)),
    deleteMuteTimes=_list(_object({"name": _TEXT}, orgId=_COUNT), 0),
)

#: What each file below grafana/provisioning has to be.
FILES: dict[str, Schema] = {
    "datasources/datasources.yaml": DATASOURCES,
    "dashboards/dashboards.yaml": DASHBOARDS,
    "alerting/rules.yaml": RULES,
    "alerting/contact-points.yaml": CONTACT_POINTS,
    "alerting/policies.yaml": POLICIES,
    "alerting/templates.yaml": TEMPLATES,
    "alerting/mute-times.yaml": MUTE_TIMES,
}
