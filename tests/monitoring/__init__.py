"""Alerts and dashboard on a real Prometheus: `make alerts-check`."""
