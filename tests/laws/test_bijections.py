"""Laws that every bijection keeps, checked against autograd's Jacobian."""

import math

import pytest
import torch
from torch import Tensor

from tests.laws.zoo_table import FLOWS, LAYERS, Case, case

EVERY = [*FLOWS, *LAYERS]

# number type, distance from the identity, and the design's bar there
BARS = {
    "float64": (torch.float64, 0.15, 1e-10),
    "float32 at the start": (torch.float32, 0.0, 1e-5),
    "float32 away from it": (torch.float32, 0.15, 1e-4),
}


def jacobian_log_det(one: Case, x: Tensor, encode: bool) -> Tensor:
    """log|det| of a direction's Jacobian at each row, by autograd; rows do not see each other."""
    x = x.detach().requires_grad_()
    go = one.bijection.encode if encode else one.bijection.decode
    value = go(x, one.context)[0].flatten(1)
    rows = [
        torch.autograd.grad(value[:, k].sum(), x, retain_graph=True)[0].flatten(1)
        for k in range(value.shape[1])
    ]
    log_dets: Tensor = torch.linalg.slogdet(torch.stack(rows, 1)).logabsdet
    return log_dets


def spread(values: Tensor) -> float:
    return max(1.0, float(values.max() - values.min()))


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("name", EVERY)
def test_round_trip_both_ways_and_log_dets_cancel(name: str, bar: str) -> None:
    dtype, scale, tolerance = BARS[bar]
    one = case(name, dtype, rows=64, scale=scale)
    latents = torch.randn(
        64, *one.bijection.latent_shape, generator=torch.Generator().manual_seed(1)
    )
    latents = latents.to(dtype)
    with torch.no_grad():
        z, forth = one.bijection.encode(one.x, one.context)
        x, back = one.bijection.decode(z, one.context)
        decoded, out = one.bijection.decode(latents, one.context)
        again, home = one.bijection.encode(decoded, one.context)
    assert (x - one.x).abs().max() <= tolerance * spread(one.x)
    assert (again - latents).abs().max() <= tolerance * spread(latents)
    dimensions = math.prod(one.bijection.event_shape)
    assert (forth + back).abs().max() <= tolerance * dimensions
    assert (out + home).abs().max() <= tolerance * dimensions


@pytest.mark.parametrize("name", EVERY)
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    one = case(name, torch.float64, rows=3)
    z, forth = one.bijection.encode(one.x, one.context)
    _, back = one.bijection.decode(z, one.context)
    torch.testing.assert_close(forth, jacobian_log_det(one, one.x, True), rtol=0, atol=1e-9)
    torch.testing.assert_close(back, jacobian_log_det(one, z.detach(), False), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_any_batch_size_and_rows_do_not_see_each_other(name: str) -> None:
    one = case(name, torch.float64)
    z, log_det = one.bijection.encode(one.x, one.context)
    for rows in (slice(0, 0), slice(0, 1), slice(2, 5)):
        context = None if one.context is None else one.context[rows]
        part, part_log_det = one.bijection.encode(one.x[rows], context)
        torch.testing.assert_close(part, z[rows])
        torch.testing.assert_close(part_log_det, log_det[rows])


@pytest.mark.parametrize("name", [n for n in FLOWS if "context" in n])
def test_context_matters_and_must_be_given(name: str) -> None:
    one = case(name, torch.float64)
    assert one.context is not None
    z, _ = one.bijection.encode(one.x, one.context)
    other, _ = one.bijection.encode(one.x, one.context + 1)
    assert (z - other).abs().amin(0).max() > 1e-3
    # every coordinate may depend on the context, the first in the order too; one coupling layer
    # of an image changes half of them
    assert bool(((z - other).abs() > 1e-9).any(0).all()) or "images" in name
    with pytest.raises(ValueError, match="context of row shape"):
        one.bijection.encode(one.x)


@pytest.mark.parametrize("name", EVERY)
def test_wrong_shapes_are_refused_with_both_named(name: str) -> None:
    one = case(name, torch.float64)
    wide = torch.zeros(2, *one.bijection.event_shape, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"expected x of shape .* got \(2,"):
        one.bijection.encode(wide, one.context)
    with pytest.raises(ValueError, match=r"expected z of shape .* got \(2,"):
        one.bijection.decode(wide, one.context)
