"""Plots of rows that are pictures."""
