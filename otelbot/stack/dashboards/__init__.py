"""Grafana's dashboards, built by its foundation SDK; `make generate` writes them to grafana/dashboards/."""
