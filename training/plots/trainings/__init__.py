"""Plots of what a run tells of its training."""
