"""Bundles over HTTP: onnxruntime and numpy, never torch."""
