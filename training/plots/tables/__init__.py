"""Plots of columns."""
