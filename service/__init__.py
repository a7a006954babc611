"""Bundles over HTTP: onnxruntime and numpy, never torch."""

import os

# onnxruntime's wheels report usage to their maker unless told not to, before they are imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
