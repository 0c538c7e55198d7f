"""The alert rules: one definition, from which Grafana's and Prometheus' files are written."""
