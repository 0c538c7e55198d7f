"""The page's web server and its JSON API, docs/dashboard-api.md."""
