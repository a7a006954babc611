"""Linear maps: LU, reflections, fixed matrices, and the normalisation of activations."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.bijection import Bijection, Compose
from models.layers.linear import LOG_DIAGONAL, LU, Householder, LinearMap, rotation
from models.layers.normalization import ActNorm
from tests.laws.zoo_table import randomise

MAPS: dict[str, Callable[[], LinearMap]] = {
    "lu": lambda: LU((5,)),
    "lu rotation": lambda: LU((5,), seed=1),
    "lu of channels": lambda: LU((3, 4, 4), seed=1),
    "householder": lambda: Householder((5,)),
    "householder of channels": lambda: Householder((3, 4, 4), reflections=2),
}
WIDTHS = [1, 2, 3, 784]


def moved(name: str, scale: float, dtype: torch.dtype = torch.float64) -> LinearMap:
    torch.manual_seed(0)
    layer = MAPS[name]()
    randomise(layer, scale)
    return layer.to(dtype).eval()


def identity(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_folding_changes_no_value(name: str, dtype: torch.dtype, bar: float) -> None:
    layer = moved(name, 0.15, dtype)
    rows = torch.randn(20, *layer.event_shape, dtype=dtype)
    with torch.no_grad():
        before = [*layer.encode(rows), *layer.decode(rows)]
        saved = {key: value.clone() for key, value in layer.state_dict().items()}
        layer.fold()
        after = [*layer.encode(rows), *layer.decode(rows)]
    for got, expected in zip(after, before, strict=True):
        torch.testing.assert_close(got, expected, rtol=bar, atol=4 * bar)
    assert layer.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", [name for name in MAPS if name != "fixed"])
def test_folded_maps_no_longer_read_their_parameters(name: str) -> None:
    layer = moved(name, 0.15)
    layer.fold()
    rows = torch.randn(3, *layer.event_shape, dtype=torch.float64)
    for value in (*layer.encode(rows), *layer.decode(rows)):
        assert not value.requires_grad


@pytest.mark.parametrize("name", MAPS)
def test_inverse_and_log_det_are_those_of_the_matrix(name: str) -> None:
    layer = moved(name, 0.3)
    with torch.no_grad():
        matrix = layer.matrix()
        product = matrix @ layer.inverse_matrix()
        torch.testing.assert_close(product, identity(layer.n), rtol=0, atol=1e-10)
        expected = torch.linalg.slogdet(matrix).logabsdet
        torch.testing.assert_close(layer.log_abs_det(), expected, rtol=0, atol=1e-10)
        # a map of channels happens at each pixel
        _, log_det = layer.encode(torch.zeros(2, *layer.event_shape, dtype=torch.float64))
        pixels = math.prod(layer.event_shape) // layer.n
        torch.testing.assert_close(log_det, pixels * expected.expand(2))


@pytest.mark.parametrize("make", [lambda s: LU(s, seed=3), lambda s: Householder(s, 2)])
def test_images_are_mapped_pixel_by_pixel(make: Callable[..., LinearMap]) -> None:
    torch.manual_seed(0)
    image, vector = make((3, 2, 4)).double(), make((3,)).double()
    vector.load_state_dict(image.state_dict())
    x = torch.randn(5, 3, 2, 4, dtype=torch.float64)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 3)
    for there, alone in ((image.encode, vector.encode), (image.decode, vector.decode)):
        value, log_det = there(x)
        expected, one = alone(pixels)
        torch.testing.assert_close(value.permute(0, 2, 3, 1).reshape(-1, 3), expected)
        torch.testing.assert_close(log_det, one.view(5, 8).sum(1))


@pytest.mark.parametrize("n", WIDTHS)
def test_lu_starts_as_the_identity_or_as_the_rotation_of_its_seed(n: int) -> None:
    x = torch.randn(4, n)
    assert torch.equal(LU((n,)).encode(x)[0], x)
    matrix = LU((n,), seed=1).double().matrix().detach()
    # parameters are kept in float32
    torch.testing.assert_close(matrix @ matrix.T, identity(n), rtol=0, atol=1e-5)
    assert torch.equal(LU((n,), seed=1).double().matrix(), matrix)
    if n > 1:
        assert not torch.allclose(LU((n,), seed=2).double().matrix(), matrix, atol=0.1)
        assert not torch.allclose(matrix, identity(n), atol=0.1)


@pytest.mark.parametrize("sign", [-1, 1])
def test_lu_stretches_within_bounds_whatever_its_parameters(sign: int) -> None:
    layer = LU((4, 2, 2), seed=1)
    with torch.no_grad():
        layer.raw.fill_(sign * 1e6)
    log_det = layer.encode(torch.zeros(1, 4, 2, 2))[1]
    torch.testing.assert_close(log_det, torch.tensor([sign * 4 * 4 * LOG_DIAGONAL]))


@pytest.mark.parametrize("n", WIDTHS)
@pytest.mark.parametrize("name", ["lu", "householder", "actnorm"])
@pytest.mark.parametrize("times", [1, 10])
def test_far_inputs_and_large_parameters_stay_finite(name: str, n: int, times: float) -> None:
    torch.manual_seed(0)
    made: dict[str, Callable[[], Bijection]] = {
        "lu": lambda: LU((n,), seed=1),
        "householder": lambda: Householder((n,)),
        "actnorm": lambda: ActNorm((n,)),
    }
    layer = made[name]()
    # noise of one size in all entries of wide triangular factors is beyond float32's inverse
    randomise(layer, 0.15 / math.sqrt(n))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(times)
        rows = torch.randn(6, n)
        rows[0], rows[1] = 1e6, -1e6
        z, forth = layer.encode(rows)
        x, back = layer.decode(z)
    assert bool(torch.isfinite(z).all())
    assert torch.equal(forth, -back)
    if times == 1 or name != "lu":
        size = rows.abs().amax(1)
        assert bool(((x - rows).abs().amax(1) <= 1e-3 * size).all())


@pytest.mark.parametrize("n", WIDTHS)
@pytest.mark.parametrize("reflections", [1, 2, None])
def test_householder_is_orthogonal_and_keeps_volume_exactly(
    n: int, reflections: int | None
) -> None:
    torch.manual_seed(0)
    layer = Householder((n,), reflections).double()
    matrix = layer.matrix().detach()
    torch.testing.assert_close(matrix @ matrix.T, identity(n), rtol=0, atol=1e-12)
    x = torch.randn(3, n, dtype=torch.float64)
    for _, log_det in (layer.encode(x), layer.decode(x)):
        assert torch.equal(log_det, torch.zeros_like(log_det))


@pytest.mark.parametrize(("count", "n"), [(1, 1), (1, 4), (2, 4), (4, 4), (9, 4)])
def test_rotation_is_the_product_of_its_reflections(count: int, n: int) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(count, n, dtype=torch.float64)
    product = identity(n)
    for v in vectors:
        product = product @ (identity(n) - 2 * torch.outer(v, v) / (v @ v))
    torch.testing.assert_close(rotation(vectors), product)


def test_rotation_bears_equal_vectors_and_vectors_of_any_length() -> None:
    torch.manual_seed(0)
    v = torch.randn(1, 6, dtype=torch.float64)
    torch.testing.assert_close(rotation(v.repeat(20, 1)), identity(6), rtol=0, atol=1e-12)
    torch.testing.assert_close(rotation(1e9 * v), rotation(1e-9 * v))
    assert torch.equal(rotation(torch.zeros(2, 6)), torch.eye(6))


def test_householder_refuses_to_reflect_nothing() -> None:
    with pytest.raises(ValueError, match="reflections is at least 1, got 0"):
        Householder((3,), 0)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_actnorm_starts_with_mean_zero_and_deviation_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = ActNorm(shape)
    scale = torch.logspace(-3, 3, shape[0]).view(-1, *[1] * (len(shape) - 1))
    x = 7 * scale + scale * torch.randn(200, *shape)
    layer.initialize_from_data(x)
    z, log_det = layer.encode(x)
    channels = z.transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(shape[0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(channels.std(1, correction=0), torch.ones(shape[0]))
    deviations = x.transpose(0, 1).flatten(1).std(1, correction=0)
    expected = -math.prod(shape[1:]) * deviations.log().sum()
    torch.testing.assert_close(log_det, expected.expand(200))


def test_actnorm_keeps_the_scale_of_what_does_not_vary() -> None:
    x = torch.randn(50, 2)
    x[:, 1] = 3
    constant, single = ActNorm((2,)), ActNorm((2,))
    constant.initialize_from_data(x)
    single.initialize_from_data(x[:1])
    assert constant.log_scale[1] == 0
    assert constant.log_scale[0] != 0
    assert torch.equal(single.log_scale, torch.zeros(2))
    assert torch.equal(single.encode(x[:1])[0], torch.zeros(1, 2))


def test_each_layer_starts_from_what_the_layers_before_it_make_of_the_data() -> None:
    torch.manual_seed(0)
    first, second = ActNorm((3,)), ActNorm((3,))
    whole = Compose([first, LU((3,), seed=1), second])
    x = torch.randn(300, 3) @ torch.tensor([[4.0, 1, 0], [0, 0.1, 3], [0, 0, 2]]) + 5
    whole.initialize_from_data(x)
    z, _ = whole.encode(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3))
    assert second.log_scale.abs().max() > 0.01


class _Slow(LU):
    """No layer after it is initialized from data, so its encode must not run."""

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise AssertionError("encoded for nothing")


def test_data_goes_no_further_than_the_last_layer_that_it_initializes() -> None:
    first, slow, x = ActNorm((3,)), _Slow((3,), seed=1), 5 + torch.randn(20, 3)
    Compose([slow]).initialize_from_data(x)
    Compose([first, slow]).initialize_from_data(x)
    torch.testing.assert_close(first.encode(x)[0].mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    with pytest.raises(AssertionError, match="for nothing"):
        Compose([slow, first]).initialize_from_data(x)


@pytest.mark.parametrize("name", MAPS)
def test_a_saved_map_is_the_same_whatever_it_is_loaded_into(name: str) -> None:
    torch.manual_seed(0)
    saved = moved(name, 0.15)
    made = {LU: LU((5,), seed=9), Householder: Householder((5,))}
    other = made[type(saved)] if len(saved.event_shape) < 3 else MAPS[name]()
    randomise(other, 1.0)
    other.double().load_state_dict(saved.state_dict())
    x = torch.randn(4, *saved.event_shape, dtype=torch.float64)
    for got, expected in zip(
        (*other.encode(x), *other.decode(x)), (*saved.encode(x), *saved.decode(x)), strict=True
    ):
        assert torch.equal(got, expected)
