"""Pinned memory and memory of a GPU, by a CUDA library whose GPUs are the host."""

import ctypes

import numpy as np
import pytest

from service.runtime import SHORT_BYTES, CudaMemory, CudaMemoryError
from tests.helpers.gpus import FakeCuda


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    for kind in ("CDLL", "PyDLL"):
        monkeypatch.setattr(ctypes, kind, lambda _: fake)
    return fake


@pytest.mark.parametrize("size", [1, 1000, SHORT_BYTES + 1])
def test_bytes_go_there_and_come_back(cuda: FakeCuda, size: int) -> None:
    memory = CudaMemory(1)
    host, back = memory.pinned(size), memory.pinned(size)
    assert len(host) == size
    host[:] = np.random.default_rng(0).integers(0, 256, size)
    there = memory.allocate(size)
    memory.to_device(there, host, size)
    back[:] = 0
    memory.to_host(back, there, size - size // 2)
    half = size - size // 2
    assert (back[:half] == host[:half]).all()
    assert not back[half:].any()
    assert set(cuda.devices) == {1}
    memory.free()
    assert not cuda.alive
    memory.free()  # twice does no harm


def test_what_cuda_refuses_is_an_error_that_nobody_else_finds(cuda: FakeCuda) -> None:
    memory = CudaMemory(0)
    cuda.code = 2
    with pytest.raises(CudaMemoryError, match="cudaMalloc of GPU 0 failed with CUDA's error 2"):
        memory.allocate(8)
    assert cuda.errors_read == 1


def test_a_machine_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(CudaMemoryError, match=r"libcudart.so.13 cannot be loaded: "):
        CudaMemory(0)
