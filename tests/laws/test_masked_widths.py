"""Masked networks whose positions have different numbers of inputs and outputs."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.networks import Block, Conditioner, MaskedMLP, run_by_blocks, run_by_positions

POSITION, SIZES, INPUTS = [3, 0, 4, 1, 2], [3, 1, 4, 2, 5], [2, 1, 3, 4, 1]


def network(context: int = 0, in_blocks: bool = False) -> MaskedMLP:
    """A network with random weights."""
    torch.manual_seed(0)
    conditioner = Conditioner((12, 12), "tanh", initial_scale=1.0, residual=True)
    made = MaskedMLP(POSITION, SIZES, context, conditioner, INPUTS).double().eval()
    made.in_blocks = in_blocks
    return made


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("in_blocks", [False, True])
def test_outputs_read_exactly_the_values_before_theirs(context: int, in_blocks: bool) -> None:
    made = network(context, in_blocks)
    x = torch.randn(sum(INPUTS), dtype=torch.float64)
    features = torch.randn(1, context, dtype=torch.float64) if context else None

    def outputs(x: Tensor) -> Tensor:
        result: Tensor = made(x[None], features)[0]
        return result

    jacobian = torch.autograd.functional.jacobian(outputs, x)
    position = torch.tensor(POSITION)
    reads = position.repeat_interleave(torch.tensor(SIZES))[:, None] > position.repeat_interleave(
        torch.tensor(INPUTS)
    )
    assert torch.equal(jacobian != 0, reads)


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_units_computed_once_give_the_outputs_of_a_pass(context: int, width: int) -> None:
    made = network(context)
    x = torch.randn(4, sum(INPUTS), dtype=torch.float64)
    features = torch.randn(4, context, dtype=torch.float64) if context else None
    inputs: list[Tensor] = list(x.split(INPUTS, 1))
    order: list[int] = made.order.tolist()
    outputs: dict[int, Tensor] = {}

    def solve_block(first: int, block: Block, before: Sequence[Tensor]) -> list[Tensor]:
        def solve(position: int, theta: Tensor) -> Tensor:
            value: int = order[first + position]
            outputs[value] = theta
            return inputs[value]

        return run_by_positions(made, block, before, x[:, :0], solve)

    run_by_blocks(made, x[:, :0], features, width, solve_block)
    expected = made(x, features)
    torch.testing.assert_close(torch.cat([outputs[i] for i in range(5)], 1), expected)
    made.in_blocks = True
    torch.testing.assert_close(made(x, features), expected)
    torch.testing.assert_close(made.train()(x, features), expected)
