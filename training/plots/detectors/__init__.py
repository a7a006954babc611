"""Plots of detectors of anomalies."""
