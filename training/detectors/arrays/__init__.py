"""Detectors of arrays of one shape, such as images."""
