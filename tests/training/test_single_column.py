"""Of one column, most families are a straight line; training says so."""

import pytest
import torch

from models import zoo
from models.flow import Flow
from training.single_column import CURVED, is_straight_line

STRAIGHT = ("maf", "iaf", "realnvp", "nice", "glow", "wavenet", "parallel-wavenet", "transformer")
SMALL = {"transforms": 2, "hidden": [8]}


def flow(family: str, **arguments: object) -> Flow:
    torch.manual_seed(0)
    return zoo.build(family, (1,), options=SMALL, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", STRAIGHT)
def test_affine_families_are_straight_lines_of_one_column(family: str) -> None:
    assert is_straight_line(flow(family), -3, 5)
    assert is_straight_line(flow(family, context_shape=(2,)), -3, 5)


@pytest.mark.parametrize("family", CURVED)
def test_those_that_are_named_instead_are_not(family: str) -> None:
    assert not is_straight_line(flow(family), -3, 5)


def test_a_preprocessing_that_is_curved_makes_the_flow_so() -> None:
    boxed = [{"kind": "logit", "low": -4, "high": 6}]
    assert not is_straight_line(flow("maf", preprocessing=boxed), -3, 5)
    scaled = [{"kind": "standardize", "mean": 1.0, "scale": 9.0}]
    assert is_straight_line(flow("maf", preprocessing=scaled), -3, 5)


def test_of_several_columns_it_is_not_asked() -> None:
    assert not is_straight_line(zoo.build("nice", (2,)), -3, 5)
