"""A model on two GPUs that are the CPU: loaded, asked and closed as on a machine that has them."""

import asyncio
import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.engine import engine, gpu_graph
from service.engine.bound_runs import BoundRuns
from service.engine.gpu_graph import GpuGraph
from service.runtime import CUDA, CudaMemoryError, Device
from service.types import Arrays
from tests.benchmarks.gpu.loaded import data, loaded
from tests.helpers.gpus import HostMemory
from tests.helpers.waiting import wait_until

STORED = Path(__file__).parents[2] / "stored" / "format_1" / "store"


class OnGpu:
    """A session that says that it is on a GPU."""

    def __init__(self, session: onnxruntime.InferenceSession, captures: bool) -> None:
        self._session, self.captures = session, captures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [CUDA, *self._session.get_providers()]


class Machine:
    """Two GPUs, and what has been done with them.

    Attributes:
        memories: of each graph on each GPU.
        captures: of each session, whether it was to.
        can_capture: whether a capture succeeds.
    """

    def __init__(self) -> None:
        self.memories: list[HostMemory] = []
        self.captures: list[bool] = []
        self.can_capture = True

    def session(
        self, device: Device, content: bytes, _: Any, plans: bool, captures: bool = False
    ) -> Any:
        assert len(device.indices) == 1
        self.captures.append(captures)
        session = Device("cpu").session(content, None, plans)
        return OnGpu(session, captures) if device.kind == "cuda" else session

    def memory(self, index: int) -> HostMemory:
        assert index in (0, 1)
        self.memories.append(HostMemory())
        return self.memories[-1]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    one, session = Machine(), Device.session

    def opened(device: Device, *args: Any, **options: Any) -> Any:
        if device.kind == "cpu":
            return session(device, *args, **options)
        return one.session(device, *args, **options)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr(Device, "session", opened)
    monkeypatch.setattr(engine, "CudaMemory", one.memory)
    monkeypatch.setattr(gpu_graph, "captures_graphs", lambda session: session.captures)
    capture = BoundRuns.capture
    monkeypatch.setattr(BoundRuns, "capture", lambda runs: capture(runs) and one.can_capture)
    return one


def test_requests_at_once_are_answered_as_on_a_cpu(machine: Machine) -> None:
    with loaded(STORED / "maf-context" / "1", "cpu") as cpu:
        feeds = data(cpu, 40)
        expected = asyncio.run(asked(cpu, feeds))
    with loaded(STORED / "maf-context" / "1", "cuda:0,cuda:1") as model:
        assert model.engine.provider == CUDA
        assert model.engine.threads == 4
        assert model.engine.batch_rows("encode") == 4096
        for _ in range(8):
            for found, wanted in zip(asyncio.run(asked(model, feeds)), expected, strict=True):
                for name, values in wanted.items():
                    np.testing.assert_allclose(found[name], values, atol=1e-5)
    assert machine.captures == [True, True, False, False]  # of encode and of decode, which loops
    assert len(machine.memories) == 4
    wait_until(lambda: all(memory.is_freed for memory in machine.memories))


async def asked(model: Any, feeds: Arrays) -> list[Arrays]:
    """What requests of different sizes are answered that come at once."""
    edges = [0, 1, 4, 20, 40]
    return list(
        await asyncio.gather(
            *[
                model.engine.encode(
                    feeds["x"][a:b], feeds["context"][a:b], ("z", "log_prob"), math.inf
                )
                for a, b in pairwise(edges)
            ]
        )
    )


def test_a_graph_whose_capture_fails_is_loaded_again_without(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.can_capture = False
    with loaded(STORED / "realnvp" / "1", "cuda:1") as model:
        assert isinstance(model.engine._graphs["encode"], GpuGraph)
        found = data(model, 3)["x"]
    assert np.isfinite(found).all()
    assert machine.captures == [True, False, True, False]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{graph}.onnx runs without CUDA graphs: one failed, or gave other answers"
        for graph in ("encode", "decode")
    ]


def test_captures_can_be_turned_off(machine: Machine) -> None:
    with loaded(STORED / "realnvp" / "1", "cuda", cuda_graphs=False):
        assert machine.captures == [False, False]


def test_a_machine_without_cudas_library_still_answers(
    machine: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> None:
        raise CudaMemoryError("libcudart.so.13 cannot be loaded")

    monkeypatch.setattr(engine, "CudaMemory", none)
    with loaded(STORED / "realnvp" / "1", "cuda") as model:
        assert np.isfinite(data(model, 3)["x"]).all()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "libcudart.so.13" in caplog.text
