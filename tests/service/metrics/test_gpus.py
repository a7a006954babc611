"""Gauges of GPUs show what the driver says, and nothing where it says nothing."""

import inspect

import pytest

from service.metrics import GpuGauges, gpus, state_series
from tests.helpers.gpus import Driver


def shown(gauges: GpuGauges) -> dict[str, dict[str, float]]:
    """The value of each GPU, by gauge."""
    return {
        family.name: {sample.labels["gpu"]: sample.value for sample in family.samples}
        for family in gauges.collect()
    }


def sampled(driver: Driver) -> GpuGauges:
    gauges = GpuGauges(driver)
    gauges.sample()
    return gauges


def test_memory_and_use_are_the_drivers() -> None:
    assert shown(sampled(Driver())) == {
        "bijecta_gpu_memory_bytes": {"0": 1e9, "1": 2e9},
        "bijecta_gpu_memory_limit_bytes": {"0": 8e10, "1": 8e10},
        "bijecta_gpu_utilisation_ratio": {"0": 0.25, "1": 0.25},
    }


def test_a_gpu_that_does_not_answer_hides_no_other() -> None:
    found = shown(sampled(Driver(silent={0}, partitioned={1})))
    assert found["bijecta_gpu_memory_bytes"] == {"1": 2e9}
    assert found["bijecta_gpu_utilisation_ratio"] == {}


def test_nothing_is_shown_before_the_first_answer_and_long_after_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing: dict[str, dict[str, float]] = {spec.name: {} for spec in state_series.GPU_METRICS}
    assert shown(GpuGauges(Driver())) == nothing
    gauges = sampled(Driver())
    monkeypatch.setattr(gpus, "STALE_SECONDS", 0.0)
    assert shown(gauges) == nothing


def test_a_machine_without_a_driver_has_no_gauges() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py: bijecta[nvml]")
    named = {name for name, _ in inspect.getmembers(Driver) if name.startswith("nvml")}
    assert named <= set(dir(pynvml))
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert GpuGauges.begin() is None
