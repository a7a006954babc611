"""Plots of rows that are sounds."""
