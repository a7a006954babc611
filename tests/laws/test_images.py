"""Laws of flows of images: squeezing, masks, couplings, multi-scale, Glow."""

import math

import pytest
import torch
from torch import Tensor

from models import zoo
from models.bijection import Bijection, Compose, Inverted
from models.layers.coupling import ChannelCoupling, MaskCoupling
from models.layers.images import (
    Partial,
    Squeeze,
    checkerboard,
    half_of_channels,
    levels_allowed,
    multi_scale,
    opposite_pixels,
)
from models.layers.permutation import Permutation
from models.networks.convnet import ConvNet
from models.numerics.univariate import Additive, Affine
from tests.helpers.layers import jacobian
from tests.laws.zoo_table import NET, randomise

TINY = {"transforms": 1, "hidden": (8,), "activation": "tanh"}


def test_squeeze_is_a_permutation_that_keeps_half_images_together() -> None:
    x = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).view(2, 3, 4, 6)
    layer = Squeeze((3, 4, 6))
    z, log_det = layer.encode(x)
    assert z.shape == (2, 12, 2, 3)
    assert torch.equal(z.flatten(1).sort(1).values, x.flatten(1))
    assert torch.equal(z[:, :3], x[:, :, ::2, ::2])
    assert torch.equal(z[:, 6:9], x[:, :, 1::2, ::2])
    assert torch.equal(log_det, torch.zeros(2))
    assert torch.equal(Inverted(layer).encode(z)[0], x)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 5, 4), "5 × 4"), ((1, 4, 7), "4 × 7"), ((4, 4), r"C × H × W, got \(4, 4\)")],
)
def test_what_cannot_be_squeezed_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Squeeze(shape)


def test_masks_halve_images() -> None:
    assert checkerboard((1, 2, 3), 0).int().tolist() == [[[1, 0, 1], [0, 1, 0]]]
    assert torch.equal(checkerboard((2, 3, 4), 1), ~checkerboard((2, 3, 4), 0))
    assert [list(half_of_channels((3, 1, 1), parity)) for parity in (0, 1)] == [[0], [1, 2]]


def test_opposite_pixels_are_a_checkerboard_before_the_squeeze() -> None:
    board = checkerboard((3, 4, 6), 0).float().expand(1, 3, 4, 6)
    squeezed = Squeeze((3, 4, 6)).encode(board)[0]
    for parity in (0, 1):
        assert (squeezed[:, opposite_pixels((12, 2, 3), parity)] == 1 - parity).all()
    both = [*opposite_pixels((12, 2, 3), 0), *opposite_pixels((12, 2, 3), 1)]
    assert sorted(both) == list(range(12))
    with pytest.raises(ValueError, match="6 channels are not those of 2 × 2 pixels"):
        opposite_pixels((6, 2, 3), 0)


CHECKERS = checkerboard((2, 3, 4), 1)
SECOND = torch.tensor([False, True])[:, None, None].expand(2, 3, 4)


@pytest.mark.parametrize(
    ("layer", "mask"),
    [
        (MaskCoupling((2, 3, 4), Affine(), CHECKERS, NET), CHECKERS),
        (MaskCoupling((2, 3, 4), Affine(), ~CHECKERS, NET), ~CHECKERS),
        (ChannelCoupling((2, 3, 4), Affine(), [1], NET), SECOND),
        (ChannelCoupling((2, 3, 4), Affine(), [0], NET), ~SECOND),
    ],
)
def test_image_couplings_pass_a_part_through_and_read_nothing_else(
    layer: Bijection, mask: Tensor
) -> None:
    torch.manual_seed(0)
    randomise(layer, 0.3)
    layer.double()
    derivatives = jacobian(layer, torch.randn(2, 3, 4, dtype=torch.float64))
    passed = mask.flatten()
    assert torch.equal(derivatives[passed], torch.eye(24, dtype=torch.float64)[passed])
    among_mapped = derivatives[~passed][:, ~passed]
    assert torch.equal(among_mapped, among_mapped.diagonal().diag())
    assert bool((derivatives[~passed][:, passed] != 0).any(1).all())


def test_additive_image_coupling_has_a_log_det_of_exactly_zero() -> None:
    layer = ChannelCoupling((2, 2, 2), Additive(), [1], NET)
    randomise(layer, 1.0)
    assert torch.equal(layer.encode(torch.randn(9, 2, 2, 2))[1], torch.zeros(9))


@pytest.mark.parametrize(
    ("mask", "message"),
    [(torch.ones(1, 2, 2, dtype=torch.bool), "every element"), (torch.zeros(2, 2), "shape")],
)
def test_masks_that_make_no_coupling_are_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskCoupling((1, 2, 2), Affine(), mask, NET)


def test_conditioner_of_images_tells_the_border_from_the_middle() -> None:
    torch.manual_seed(0)
    network = ConvNet(1, 1, (5, 5), NET)
    randomise(network, 0.3)
    output = network(torch.zeros(1, 1, 5, 5))[0, 0]
    assert output[0, 0] != output[2, 2]
    # shift-equivariant elsewhere: two 3 × 3 convolutions see two pixels far
    wide = network(torch.zeros(1, 1, 9, 9))[0, 0]
    torch.testing.assert_close(wide[2:-2, 2:-2], wide[4, 4].expand(5, 5))


class Seen(Permutation):
    """Remembers what it was started with."""

    seen: Tensor

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        self.seen = x


def test_partial_maps_and_starts_the_last_channels_only() -> None:
    inner = Seen((2,), [1, 0])
    layer = Partial((5,), inner)
    x = torch.randn(3, 5)
    layer.initialize_from_data(x)
    assert torch.equal(inner.seen, x[:, 3:])
    assert torch.equal(layer.encode(x)[0], x[:, [0, 1, 2, 4, 3]])
    with pytest.raises(ValueError, match="does not fit rows"):
        Partial((5,), Permutation((6,), list(range(6))))
    with pytest.raises(ValueError, match="does not fit rows"):
        Partial((5, 2), Permutation((2, 3), list(range(6))))


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 8, 8), 3), ((3, 4, 12), 2), ((1, 6, 4), 1), ((1, 5, 4), 0)]
)
def test_levels_are_as_many_as_the_sides_can_be_halved(shape: tuple[int, ...], levels: int) -> None:
    assert levels_allowed(shape) == levels
    assert multi_scale(shape, levels, lambda s: [Permutation(s, range(math.prod(s)))], lambda _: [])
    with pytest.raises(ValueError, match=f"halved {levels} times, not {levels + 1}"):
        multi_scale(shape, levels + 1, lambda _: [], lambda _: [])


@pytest.mark.parametrize("family", ["realnvp", "nice", "glow", "mintnet"])
@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 3), ((3, 4, 6), 1), ((2, 3, 5), None)])
def test_multi_scale_flows_keep_every_latent(
    family: str, shape: tuple[int, ...], levels: int | None
) -> None:
    torch.manual_seed(0)
    made = zoo.build(family, shape, options=TINY | {"levels": levels})
    randomise(made, 0.1)
    made.double().eval()
    assert made.bijection.latent_shape == shape
    x = torch.randn(4, *shape, dtype=torch.float64)
    with torch.no_grad():
        z, log_prob = made.encode(x)
        again, same = made.decode(z)
    torch.testing.assert_close(again, x, rtol=0, atol=1e-8)
    torch.testing.assert_close(same, log_prob)


def test_latents_that_are_finished_pass_through_deeper_levels() -> None:
    def swap(shape: tuple[int, ...]) -> list[Bijection]:
        return [Permutation(shape, list(range(math.prod(shape)))[::-1])]

    layers = multi_scale((1, 4, 4), 2, lambda _: [], swap)
    x = torch.randn(2, 1, 4, 4)
    first = Compose(layers[:2]).encode(x)[0]
    second = Compose(layers[:3]).encode(x)[0]
    assert torch.equal(first[:, :2], second[:, :2])
    assert torch.equal(first[:, 2:].flatten(1).sort(1).values, second[:, 2:].flatten(1).sort(1)[0])
    assert not torch.equal(first[:, 2:], second[:, 2:])


@pytest.mark.parametrize(
    ("family", "shape", "options", "message"),
    [
        ("realnvp", (1, 6, 6), {"levels": 2}, "halved 1 times, not 2"),
        ("realnvp", (4,), {"levels": 1}, r"not for rows of \(4,\)"),
        ("glow", (1, 4, 4), {"levels": -1}, "at least 0, got -1"),
        ("mintnet", (2, 3), {}, r"C × H × W or D, got \(2, 3\)"),
        ("mintnet", (1, 4, 4), {"activation": "relu"}, "tanh, no dropout and no residual"),
        ("mintnet", (1, 4, 4), {"dropout": 0.1}, "tanh, no dropout and no residual"),
    ],
)
def test_families_refuse_what_makes_no_flow(
    family: str, shape: tuple[int, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build(family, shape, options=TINY | options)


@pytest.mark.parametrize("shape", [(1, 8, 8), (6,)])
def test_glow_starts_with_normalised_activations_at_every_level(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    bijection = zoo.build("glow", shape, options=TINY).bijection
    assert isinstance(bijection, Compose)
    x = 5 + 3 * torch.randn(400, *shape)
    with torch.no_grad():
        bijection.initialize_from_data(x)
        _assert_normalised(bijection, x)


def _assert_normalised(bijection: Compose, x: Tensor) -> None:
    for layer in bijection.layers:
        assert isinstance(layer, Bijection)
        if isinstance(layer, Partial):
            assert isinstance(layer.bijection, Compose)
            _assert_normalised(layer.bijection, x[:, layer.passed :])
        x, _ = layer.encode(x)
        if type(layer).__name__ == "ActNorm":
            channels = x.movedim(1, 0).flatten(1)
            torch.testing.assert_close(channels.mean(1), torch.zeros(len(channels)))
            deviation = channels.std(1, correction=0)
            torch.testing.assert_close(deviation, torch.ones(len(channels)), rtol=0, atol=2e-3)
