"""Tests of service.tables."""
