"""What a soak is failed for: errors, descriptors that grow, memory that grows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.serving.load_result import Figures
from tests.benchmarks.serving.soak import MORE_DESCRIPTORS, Sample, Soak, bars

LEG = Figures(
    share=0.7,
    offered=100,
    goodput=100,
    latency={},
    answered=6000,
    refused=0,
    unanswered=0,
    failed=0,
    refusal={},
    refusal_intended={},
    late=0.001,
    starved=0,
    cores=0.1,
    server_cores=0.5,
    cpu=1e-5,
    resident=10**8,
    connections=10,
    worst=0.0,
    checked=10,
)


def soak(leak: float = 0, descriptors: float = 0, **leg: Any) -> Soak:
    """An hour, with a leak of bytes and of descriptors a second."""
    noise = np.random.default_rng(5).normal(size=3600) * 2e6
    samples = [
        Sample(float(t), int(2e8 + leak * t + noise[t]), 40 + int(descriptors * t))
        for t in range(3600)
    ]
    return Soak(samples, [LEG, replace(LEG, **leg)], reloads=60)


def missed(found: Soak) -> list[str]:
    return [bar.what for bar in bars(found) if not bar.held]


def test_an_hour_without_faults_reaches_every_bar() -> None:
    assert missed(soak()) == []


@pytest.mark.parametrize("name", ["failed", "refused", "unanswered"])
def test_one_request_without_its_answer_misses_one(name: str) -> None:
    (what,) = missed(soak(**{name: 1}))
    assert what.startswith("requests")


def test_leaks_miss_one() -> None:
    (memory,) = missed(soak(leak=1000))  # 3.6 MB in an hour
    assert memory.startswith("lower 95 % limit of the growth of memory")
    (descriptors,) = missed(soak(descriptors=(MORE_DESCRIPTORS + 10) / 2700))
    assert descriptors.startswith("descriptors")


def test_a_model_that_is_not_loaded_anew_misses_one() -> None:
    found = soak()
    found.failed_reloads = 1
    assert missed(found) == ["loads of the model that failed"]
