"""What the exporter makes of a module computes what the module does."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from training.export.torch_export import trace


class Scalars(nn.Module):
    """Numbers without a type of their own, which take that of the tensors beside them."""

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.where(x > 0, 0.99 * x + 0.00125, 4.605170185988091)
        return inside.clamp(min=0.123456789) / 1.1 + (0.7 - x) * torch.full_like(x, 0.3)


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_numbers_have_all_the_digits_of_the_tensors_type(dtype: torch.dtype, bar: float) -> None:
    content = trace(Scalars(), {"x": torch.zeros(3, dtype=dtype)}, ["y"]).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = torch.linspace(-2, 2, 101, dtype=dtype)
    (y,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(y, Scalars()(x).numpy(), rtol=bar, atol=bar)
