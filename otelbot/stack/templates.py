"""The messages of alerts, as Go templates for Grafana, in English and in Persian.

They use only functions that Grafana has had since 9.4, which is what can be tried everywhere; so there is neither
arithmetic nor a way to pass two values to a template, and limits are met by cutting texts and counting with `slice`.
Grafana cuts a Telegram message at 4096 characters, tags and addresses included, which would break its HTML: every part
therefore has a limit, and what an alert may take shrinks with the number of alerts.
"""

from __future__ import annotations

import string
from typing import Any

LANGUAGES = ("en", "fa")

#: Right-to-left mark: a line that begins with an emoji or a Latin word would otherwise run from left to right.
_RLM = "\u200f"

_WORDS = {
    "en": {
        "line": "",
        "title": ".Labels.alertname",
        "common_title": "$common",
        "firing": "Firing",
        "resolved": "Resolved",
        "since": "Since",
        "from": "From",
        "to": "to",
        "more": "… and %d more",
        "dashboard": "Dashboard",
        "runbook": "What to do",
        "silence": "Silence",
        "all": "All alerts",
        "summary_of": ".Annotations.summary",
        "description_of": ".Annotations.description",
    },
    "fa": {
        "line": _RLM,
        "title": "(or .Annotations.title_fa .Labels.alertname)",
        "common_title": "(or .CommonAnnotations.title_fa $common)",
        "firing": "فعال",
        "resolved": "برطرف‌شده",
        "since": "از",
        "from": "از",
        "to": "تا",
        "more": "… و %d مورد دیگر",
        "dashboard": "داشبورد",
        "runbook": "چه باید کرد",
        "silence": "بی‌صدا کردن",
        "all": "همهٔ هشدارها",
        "summary_of": "(or .Annotations.summary_fa .Annotations.summary)",
        "description_of": "(or .Annotations.description_fa .Annotations.description)",
    },
}

# `otelbot.short` and `otelbot.long` cut, then escape, and cut again where the escaping made the text long: never within
# an entity. `len` counts bytes, of which a character has at least one.
_SHARED = """\
{{ define "otelbot.mark" -}}
{{ if eq .Status "resolved" }}✅{{ else if eq .Labels.severity "critical" }}🚨\
{{ else if eq .Labels.severity "error" }}❌{{ else if eq .Labels.severity "info" }}ℹ️{{ else }}⚠️{{ end }}
{{- end }}
{{ define "otelbot.short" -}}
{{ $text := printf "%.80s" . }}{{ if gt (len (html $text)) 160 }}{{ $text = printf "%.30s" . }}{{ end -}}
{{ html $text }}{{ if gt (len .) (len $text) }}…{{ end }}
{{- end }}
{{ define "otelbot.long" -}}
{{ $text := printf "%.500s" . }}{{ if gt (len (html $text)) 1000 }}{{ $text = printf "%.180s" . }}{{ end -}}
{{ html $text }}{{ if gt (len .) (len $text) }}…{{ end }}
{{- end }}
"""

# One alert has all there is to say; each of two its summary and one address; each of more a line. They are grouped by
# rule and service, so it is the summaries that tell them apart.
_TELEGRAM = """\
{{ define "$name" -}}
{{ $$url := reReplaceAll "/+$$" "" .ExternalURL -}}
{{ $$max := 10 }}{{ if and .Alerts.Firing .Alerts.Resolved }}{{ $$max = 5 }}{{ end -}}
{{ if eq (len .Alerts) 1 }}{{ range .Alerts -}}
$line{{ template "otelbot.mark" . }} <b>{{ template "otelbot.short" $title }}</b>\
{{ with .Labels.service_name }} · {{ template "otelbot.short" . }}{{ end }}
{{ if $summary_of }}$line{{ template "otelbot.long" $summary_of }}
{{ end }}{{ if $description_of }}
$line{{ template "otelbot.long" $description_of }}
{{ end }}
$line{{ if eq .Status "resolved" }}$from {{ .StartsAt.UTC.Format "2006-01-02 15:04" }} $to \
{{ .EndsAt.UTC.Format "2006-01-02 15:04" }}{{ else }}$since {{ .StartsAt.UTC.Format "2006-01-02 15:04" }}{{ end }} UTC
{{ with (or .PanelURL .DashboardURL) }}{{ if le (len (html .)) 400 }}
$line📊 <a href="{{ html . }}">$dashboard</a>{{ end }}{{ end -}}
{{ with .Annotations.runbook_url }}{{ if and (le (len (html .)) 300) (le (len (html $$url)) 200) }}
$line📖 <a href="{{ if match "^/" . }}{{ html $$url }}{{ end }}{{ html . }}">$runbook</a>{{ end }}{{ end -}}
{{ if eq .Status "firing" }}{{ with .SilenceURL }}{{ if le (len (html .)) 600 }}
$line🔕 <a href="{{ html . }}">$silence</a>{{ end }}{{ end }}{{ end -}}
{{ end }}{{ else -}}
{{ $$few := le (len .Alerts) 2 }}{{ $$common := .CommonLabels.alertname -}}
{{ if and $$common (not $$few) }}$line<b>{{ template "otelbot.short" $common_title }}</b>\
{{ with .CommonLabels.service_name }} · {{ template "otelbot.short" . }}{{ end }}
{{ end -}}
$sections
{{- if and $$url (le (len (html $$url)) 200) }}
$line📊 <a href="{{ html $$url }}/alerting/list">$all</a>{{ end -}}
{{ end -}}
{{ end }}
"""
_TELEGRAM_SECTION = """\
{{ with .Alerts.$status }}$line<b>$heading ({{ len . }})</b>
{{ range $$number, $$alert := . }}{{ if lt $$number $$max -}}
$line{{ template "otelbot.mark" . }} {{ if $$few }}<b>{{ template "otelbot.short" $title }}</b>\
{{ with .Labels.service_name }} · {{ template "otelbot.short" . }}{{ end }}
{{ if $summary_of }}$line{{ template "otelbot.long" $summary_of }}
{{ end }}{{ with (or .PanelURL .DashboardURL) }}{{ if le (len (html .)) 200 }}\
$line📊 <a href="{{ html . }}">$dashboard</a>
{{ end }}{{ end }}{{ else if and $$common $summary_of }}{{ template "otelbot.short" $summary_of }}
{{ else }}{{ template "otelbot.short" $title }}
{{ end -}}
{{ end }}{{ end -}}
{{ if gt (len .) $$max }}$line{{ printf "$more" (len (slice . $$max)) }}
{{ end }}{{ end -}}
"""

_SUBJECT = """\
{{ define "$name" -}}
{{ range $$number, $$alert := .Alerts }}{{ if eq $$number 0 }}{{ template "otelbot.mark" . }} {{ $title }}\
{{ with .Labels.service_name }} · {{ . }}{{ end }}{{ end }}{{ end -}}
{{ with .Alerts.Firing }} · $firing: {{ len . }}{{ end }}{{ with .Alerts.Resolved }} · $resolved: {{ len . }}{{ end -}}
{{ end }}
"""

_PLAIN = """\
{{ define "$name" -}}
{{ $$url := reReplaceAll "/+$$" "" .ExternalURL -}}
$sections
{{- end }}
"""
_PLAIN_SECTION = """\
{{ with .Alerts.$status }}$line$heading ({{ len . }})
{{ range $$number, $$alert := . }}{{ if lt $$number 10 }}
$line{{ template "otelbot.mark" . }} {{ $title }}{{ with .Labels.service_name }} · {{ . }}{{ end }}
{{ with $summary_of }}$line{{ printf "%.1000s" . }}
{{ end }}{{ with $description_of }}$line{{ printf "%.2000s" . }}
{{ end }}$line{{ if eq .Status "resolved" }}$from {{ .StartsAt.UTC.Format "2006-01-02 15:04" }} $to \
{{ .EndsAt.UTC.Format "2006-01-02 15:04" }}{{ else }}$since {{ .StartsAt.UTC.Format "2006-01-02 15:04" }}{{ end }} UTC
{{ with (or .PanelURL .DashboardURL) }}$line$dashboard: {{ . }}
{{ end }}{{ with .Annotations.runbook_url }}$line$runbook: {{ if match "^/" . }}{{ $$url }}{{ end }}{{ . }}
{{ end }}{{ if eq .Status "firing" }}{{ with .SilenceURL }}$line$silence: {{ . }}
{{ end }}{{ end }}{{ end }}{{ end -}}
{{ if gt (len .) 10 }}
$line{{ printf "$more" (len (slice . 10)) }}
{{ end }}{{ end -}}
"""


def name(kind: str, language: str) -> str:
    """Return a template's name; `kind` is telegram, subject or plain."""
    return f"otelbot.{kind}" if language == "en" else f"otelbot.{kind}.{language}"


def group(language: str) -> str:
    """Return the text of one language's templates, with what they share in the English one."""
    words = _WORDS[language]

    def fill(template: str, **more: str) -> str:
        return string.Template(template).substitute(words | more)

    def both(section: str) -> str:
        parts = (("Firing", words["firing"]), ("Resolved", words["resolved"]))
        return "".join(fill(section, status=status, heading=heading) for status, heading in parts).rstrip("\n")

    return (_SHARED if language == "en" else "") + "".join(
        (
            fill(_TELEGRAM, name=name("telegram", language), sections=both(_TELEGRAM_SECTION)),
            fill(_SUBJECT, name=name("subject", language)),
            fill(_PLAIN, name=name("plain", language), sections=both(_PLAIN_SECTION)),
        )
    )


def provisioning() -> dict[str, Any]:
    """Return templates.yaml. Both languages are always there; the contact points choose."""
    return {
        "apiVersion": 1,
        "templates": [
            {"orgId": 1, "name": f"otelbot-{language}", "template": group(language)} for language in LANGUAGES
        ],
    }
