"""Bundles as files."""
