"""Which device a specification means, and sessions on GPUs that are none."""

from typing import Any

import onnxruntime
import pytest

from service.runtime import CUDA, Device, DeviceError, batch_rows, captures_graphs
from service.runtime.devices import cuda_options


@pytest.mark.parametrize(
    ("given", "kind", "indices"),
    [
        ("cuda", "cuda", (0,)),
        ("cuda:3", "cuda", (3,)),
        ("cuda:0,cuda:1", "cuda", (0, 1)),
        ("cuda,cuda:2,cuda:2", "cuda", (0, 2, 2)),
        ("cpu", "cpu", (0,)),
    ],
)
def test_a_specification_is_read(
    given: str, kind: str, indices: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    device = Device.choose(given)
    assert (device.kind, device.indices, device.required) == (kind, indices, True)
    assert [gpu.indices for gpu in device.each] == [(index,) for index in indices]
    assert Device.choose("cpu:3").threads == 3


@pytest.mark.parametrize("given", ["cpu,cuda", "cuda:", "cuda,", "cuda:0,cpu", "auto,cuda", "gpu"])
def test_what_is_none_is_refused(given: str) -> None:
    with pytest.raises(DeviceError, match="several of these with commas, got"):
        Device.choose(given)


def test_each_gpu_has_two_batches_and_the_memory_of_one() -> None:
    gpus = Device("cuda", (0, 1))
    assert gpus.runs(None) == 4
    assert gpus.runs(1) == 2
    assert batch_rows(2**20, gpus, gpus.runs(None)) == 4096
    assert Device("cpu", threads=3).runs(None) == 3


class Session:
    """An onnxruntime that has a GPU, and refuses to capture some graphs."""

    def __init__(self, content: bytes, _: Any, providers: Any, enable_fallback: int = 1) -> None:
        (name, self.options), _ = providers
        assert name == CUDA
        self.has_fallback = bool(enable_fallback)
        if content == b"loop" and self.options["enable_cuda_graph"] == "1":
            raise RuntimeError("it has control flow nodes")

    def get_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {CUDA: self.options}

    def disable_fallback(self) -> None:
        self.has_fallback = False


@pytest.mark.parametrize(
    ("content", "asked", "captures"),
    [(b"plain", True, True), (b"plain", False, False), (b"loop", True, False)],
)
def test_a_session_captures_where_it_can(
    content: bytes, asked: bool, captures: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    session = Device("cuda", (5,)).session(content, captures=asked)
    assert captures_graphs(session) is captures
    assert not session.has_fallback
    assert session.options == cuda_options(5, captures)
    assert session.options["device_id"] == "5"
