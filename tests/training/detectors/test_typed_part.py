"""The typed density of a detector: which values of weight it has."""

import numpy as np
import torch

from service.tables import RawTable, decide, from_array
from service.types import Float64
from training.detectors.parts.typed import fit_typed
from training.detectors.specification import TypedPart

PART = TypedPart(
    members=2, rows=1000, options={"hidden": (8,), "components": 2}, steps=100, learning_rate=1e-2
)


def scores(train: Float64, values: Float64) -> Float64:
    """−log p of values by a density fitted to others, mean of its members."""
    (column,) = decide(RawTable({"x": from_array(train)}, len(train))).columns
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(len(train))
    part = fit_typed(PART, train[:, None], [column], None, groups, generator)
    with torch.no_grad():
        found: Float64 = part.module(torch.from_numpy(values[:, None]), None).mean(1).numpy()
    return found


def test_how_a_number_is_rounded_is_no_anomaly() -> None:
    random = np.random.default_rng(0)
    train = random.uniform(-0.105, 0.105, 1000)
    train = np.where(random.random(1000) < 0.8, train.round(2), train.round(4))
    round_ones = np.arange(-0.09, 0.091, 0.01).round(2)
    others = (round_ones + 0.0037).round(4)
    found = scores(train, np.concatenate([round_ones, others, [0.4, -0.3]]))
    round_ones, others, far = np.split(found, [len(round_ones), 2 * len(round_ones)])
    assert np.abs(others - round_ones).max() < 1
    assert far.min() > max(others.max(), round_ones.max())


def test_few_values_of_weight_are_likelier_than_those_beside_them() -> None:
    random = np.random.default_rng(0)
    train = random.normal(0, 1, 1000).clip(-1, 1)
    at_the_end, beside = scores(train, np.array([1.0, 0.9987]))
    assert at_the_end < beside
