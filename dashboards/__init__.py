"""Grafana as code: dashboards, alert rules, data sources, provisioning, push."""
