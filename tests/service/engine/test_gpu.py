"""Serving on an NVIDIA GPU agrees with the CPU. Skipped where there is none."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.http import MODELS, ask_npy
from tests.helpers.servers import Serve

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="there is no NVIDIA GPU here"),
]


def test_cuda_is_used_and_agrees_with_the_cpu(store: Path, serve: Serve) -> None:
    gpu = serve("--store", store, "--device", "cuda").client
    cpu = serve("--store", store, "--device", "cpu").client
    assert {m["provider"] for m in gpu.get("/models").json()["models"]} == {"CUDAExecutionProvider"}
    for model, x in MODELS.items():
        rows = x.astype(np.float32)
        for endpoint in ("/log_prob", "/encode"):
            found, expected = (ask_npy(c, endpoint, rows, model=model)[0] for c in (gpu, cpu))
            per_row = rows.shape[1] if endpoint == "/log_prob" else 1
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * per_row)
        drawn, expected = (
            ask_npy(c, "/sample", None, model=model, n=100, seed=1)[0] for c in (gpu, cpu)
        )
        np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-4 * float(np.ptp(expected)))
