"""Serving on an NVIDIA GPU agrees with the CPU. Skipped where there is none.

`make gpu-check` compares every family; these are what shows first that something is wrong.
"""

from pathlib import Path

import numpy as np
import pytest

from service.runtime import CUDA
from tests.benchmarks.gpu.agree import RUNS
from tests.benchmarks.gpu.loaded import ask, data, loaded
from tests.helpers.http import ask_npy
from tests.helpers.servers import Serve

STORED = Path(__file__).parents[2] / "stored" / "format_1" / "store"
MODELS = ("iaf", "maf", "maf-digits", "realnvp", "wavenet")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="there is no NVIDIA GPU here"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for name in MODELS:
        (folder / name).symlink_to(STORED / name)
    return folder


@pytest.mark.parametrize("device", ["cuda", "cuda:0,cuda:0"])
def test_cuda_is_used_and_agrees_with_the_cpu(models: Path, serve: Serve, device: str) -> None:
    gpu = serve("--store", models, "--device", device)
    cpu = serve("--store", models, "--device", "cpu")
    try:
        said = gpu.client.get("/models").json()["models"]
        assert {model["provider"] for model in said} == {CUDA}
        for model in MODELS:
            drawn, expected = (
                ask_npy(c.client, "/sample", None, model=model, n=100, seed=1)[0]
                for c in (gpu, cpu)
            )
            spread = max(1.0, float(np.ptp(expected)))
            np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-4 * spread)
            for endpoint in ("/log_prob", "/encode"):
                for _ in range(5):  # from the fourth run on by a CUDA graph
                    found = ask_npy(gpu.client, endpoint, expected, model=model)[0]
                wanted = ask_npy(cpu.client, endpoint, expected, model=model)[0]
                scale = (
                    expected[0].size if endpoint == "/log_prob" else max(1.0, float(np.ptp(wanted)))
                )
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * scale)
    finally:
        gpu.end()
        cpu.end()


def test_batches_are_bound_and_captured(caplog: pytest.LogCaptureFixture) -> None:
    with loaded(STORED / "realnvp" / "1", "cuda") as model:
        ask(model, "encode", data(model, 100), RUNS)
        graph = model.engine._graphs["encode"]
        (gpu,) = graph._gpus  # type: ignore[union-attr]
        assert gpu._is_bound
        assert gpu._captures
        assert {rows for _, rows in gpu._bound} == {128}
    assert not caplog.records


def test_graphs_with_loops_are_not_captured() -> None:
    with loaded(STORED / "maf" / "1", "cuda") as model:
        (gpu,) = model.engine._graphs["decode"]._gpus  # type: ignore[union-attr]
        assert not gpu._captures
        assert gpu._is_bound
