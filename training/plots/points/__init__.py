"""Plots of flows of two numbers."""
