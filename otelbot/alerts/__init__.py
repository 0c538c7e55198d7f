"""The alert rules, once: Grafana's and Prometheus' files are written from them, and the dashboard evaluates them."""
