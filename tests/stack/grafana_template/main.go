// Renders notification templates as Grafana 9.4 does: Go's text/template, Alertmanager's functions of that time, and
// Grafana's data. Reads {"templates": ["{{ define … }}", …], "cases": [{"name": "otelbot.telegram", "data": {…}}, …]}
// and writes the texts, in the order of the cases.
//
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/template-notifications/reference/
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	alertmanager "github.com/prometheus/alertmanager/template"
)

// What Alertmanager had when Grafana 9.4 took it in. A template that uses a newer function does not parse here.
var functions = []string{"toUpper", "toLower", "title", "join", "match", "safeHtml", "reReplaceAll", "stringSlice"}

type alert struct {
	Status       string             `json:"status"`
	Labels       alertmanager.KV    `json:"labels"`
	Annotations  alertmanager.KV    `json:"annotations"`
	StartsAt     time.Time          `json:"startsAt"`
	EndsAt       time.Time          `json:"endsAt"`
	GeneratorURL string             `json:"generatorURL"`
	Fingerprint  string             `json:"fingerprint"`
	SilenceURL   string             `json:"silenceURL"`
	DashboardURL string             `json:"dashboardURL"`
	PanelURL     string             `json:"panelURL"`
	Values       map[string]float64 `json:"values"`
	ValueString  string             `json:"valueString"`
	ImageURL     string             `json:"imageURL"`
}

type alerts []alert

func (all alerts) with(status string) []alert {
	found := []alert{}
	for _, one := range all {
		if one.Status == status {
			found = append(found, one)
		}
	}
	return found
}

func (all alerts) Firing() []alert   { return all.with("firing") }
func (all alerts) Resolved() []alert { return all.with("resolved") }

type data struct {
	Receiver          string          `json:"receiver"`
	Status            string          `json:"status"`
	Alerts            alerts          `json:"alerts"`
	GroupLabels       alertmanager.KV `json:"groupLabels"`
	CommonLabels      alertmanager.KV `json:"commonLabels"`
	CommonAnnotations alertmanager.KV `json:"commonAnnotations"`
	ExternalURL       string          `json:"externalURL"`
}

type request struct {
	Templates []string `json:"templates"`
	Cases     []struct {
		Name string `json:"name"`
		Data data   `json:"data"`
	} `json:"cases"`
}

func render(input request) ([]string, error) {
	known := template.FuncMap{}
	for _, name := range functions {
		known[name] = alertmanager.DefaultFuncs[name]
	}
	parsed := template.New("").Option("missingkey=zero").Funcs(known)
	for _, text := range input.Templates {
		if _, err := parsed.Parse(text); err != nil {
			return nil, err
		}
	}
	texts := []string{}
	for _, one := range input.Cases {
		var text strings.Builder
		if err := parsed.ExecuteTemplate(&text, one.Name, one.Data); err != nil {
			return nil, err
		}
		texts = append(texts, text.String())
	}
	return texts, nil
}

func main() {
	var input request
	err := json.NewDecoder(os.Stdin).Decode(&input)
	if err == nil {
		var texts []string
		if texts, err = render(input); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(texts)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
