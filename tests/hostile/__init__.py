"""Clients that do their worst to a server, one at a time and together: see tests/README.md."""
