"""Laws of the service's parts, without HTTP."""

import json
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.stats import truncnorm

from service.bundle import BASES, LatentPath
from service.bundle.truncated_normal import truncated_normal
from service.codecs.json import read_object, write_object
from service.codecs.npy import read_array, write_array
from service.errors import InvalidInputError, ServiceError
from service.operations import noise
from service.operations.requests import Path
from service.operations.values import to_float32
from service.types import Float32

FLOAT32 = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(FLOAT32)
def test_arrays_survive_json_and_npy_bit_for_bit(array: Float32) -> None:
    text = write_object({"x": array})
    if array.size:  # an array of none has lost its other sides in JSON
        assert np.array_equal(to_float32(read_object(text)["x"]), array)
    assert np.array_equal(to_float32(read_array(write_array(array))), array)


@given(JSON)
def test_anything_but_finite_numbers_is_refused_as_such(value: Any) -> None:
    with suppress(ValueError):  # and nothing else
        array = to_float32(value)
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_no_body_breaks_the_parsers(body: bytes) -> None:
    for parse in (read_object, read_array, lambda b: read_array(b"\x93NUMPY\x01\x00" + b)):
        with suppress(ServiceError):  # and nothing else
            parse(body)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0,), }",
        "__import__('os').getcwd()",
        "{'descr': (",
        "{'descr': (), 'fortran_order': False, 'shape': (1,), }",
        '{"descr": """abc',
        "(" * 100,
    ],
)
def test_npy_headers_that_lie(header: str) -> None:
    text = header.encode().ljust(117) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 8
    with pytest.raises((ServiceError, ValueError)):
        to_float32(read_array(body))


def test_json_floats_have_their_shortest_digits_and_infinities_are_null() -> None:
    array = np.array([0.1, -np.inf, 3.0000002], np.float32)
    assert json.loads(write_object({"x": array})) == {"x": [0.1, None, 3.0000002]}
    assert b"0.1," in write_object({"x": array})


@given(
    st.sampled_from(["linear", "normalized", "geodesic"]),
    st.integers(2, 9),
    arrays.arrays(np.float32, (2, 4), elements=st.floats(-3, 3, width=32)),
)
def test_paths_keep_their_laws(kind: Path, steps: int, ends: Float32) -> None:
    a, b = ends
    assume(min(np.linalg.norm(a), np.linalg.norm(b)) > 1e-3)
    try:
        z = LatentPath(a, b, steps, kind).points(0, steps)
    except ValueError:
        assert kind != "linear"
        return
    np.testing.assert_allclose(z[[0, -1]], ends, rtol=0, atol=1e-5)
    norms = np.linalg.norm(z, axis=1)
    wanted = np.linspace(np.linalg.norm(a), np.linalg.norm(b), steps)
    if kind == "linear":
        step = np.tile((b - a) / (steps - 1), (steps - 1, 1))
        np.testing.assert_allclose(np.diff(z, axis=0), step, atol=1e-5)
    else:
        np.testing.assert_allclose(norms, wanted, rtol=1e-5, atol=1e-6)
    if kind == "geodesic":
        # equal angles from step to step, all in the plane of the ends
        unit = z.astype(np.float64) / norms[:, None]
        angles = np.arccos(np.clip((unit[1:] * unit[:-1]).sum(1), -1, 1))
        assert np.ptp(angles) < 2e-3
        assert np.linalg.matrix_rank(z.astype(np.float64), tol=1e-4) <= 2


def test_opposite_ends_have_no_great_circle() -> None:
    a = np.array([1.0, 2.0], np.float32)
    for kind in ("normalized", "geodesic"):
        with pytest.raises(ValueError, match="opposite"):
            LatentPath(a, -a, 5, kind)


class Base:
    """As much of a manifest as noise needs."""

    dtype = "float32"

    def __init__(self, base: str, **parameters: Any) -> None:
        self.base_density, self.latent_shape = BASES[base], [1, 3]
        self.base_parameters = parameters


MIXTURE = {
    "log_weights": np.log([0.3, 0.7]).tolist(),
    "means": [[-4.0, 0.0, 1.0], [4.0, 0.0, 1.0]],
    "log_scales": np.log([[0.5, 1.0, 2.0], [1.5, 1.0, 2.0]]).tolist(),
}
MOMENTS: dict[str, tuple[Any, list[float], list[float]]] = {
    "normal": (Base("normal"), [0, 0, 0], [1, 1, 1]),
    "logistic": (Base("logistic"), [0, 0, 0], [math.pi / 3**0.5] * 3),
    "uniform": (Base("uniform", low=-1.0, high=3.0), [1, 1, 1], [4 / 12**0.5] * 3),
    "student-t": (Base("student-t", df=8.0), [0, 0, 0], [(8 / 6) ** 0.5] * 3),
    "mixture": (
        Base("mixture", **MIXTURE),
        [1.6, 0, 1],
        [(0.3 * (0.25 + 16) + 0.7 * (2.25 + 16) - 1.6**2) ** 0.5, 1, 2],
    ),
}


@pytest.mark.parametrize("base", MOMENTS)
def test_noise_is_a_function_of_the_seed_and_has_the_bases_moments(base: str) -> None:
    manifest, mean, deviation = MOMENTS[base]
    z = noise.Latents(manifest, 7, 1.0).draw(50_000)
    assert z.shape == (50_000, 1, 3)
    assert z.dtype == np.float32
    assert np.array_equal(noise.Latents(manifest, 7, 1.0).draw(10), z[:10])
    assert not np.array_equal(noise.Latents(manifest, 8, 1.0).draw(10), z[:10])
    flat = z.reshape(-1, 3)
    np.testing.assert_allclose(flat.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(flat.std(0), deviation, rtol=0.02)
    centre = np.array(mean) if base != "mixture" else _means(manifest, flat[:10])
    cool = noise.Latents(manifest, 7, 0.5).draw(10).reshape(-1, 3)
    np.testing.assert_allclose(cool, centre + 0.5 * (flat[:10] - centre), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("base", MOMENTS)
@pytest.mark.parametrize("truncation", [None, 1.5])
def test_pieces_of_noise_are_those_of_one_long_draw(base: str, truncation: float | None) -> None:
    manifest = MOMENTS[base][0]
    if truncation is not None and base != "normal":
        with pytest.raises(InvalidInputError, match="needs a normal base"):
            noise.Latents(manifest, 7, 1.0, truncation)
        return
    whole = noise.Latents(manifest, 7, 1.0, truncation).draw(100)
    piecewise = noise.Latents(manifest, 7, 1.0, truncation)
    assert np.array_equal(np.concatenate([piecewise.draw(n) for n in (1, 60, 39)]), whole)


@given(
    arrays.arrays(np.float64, 20, elements=st.floats(0, 1, exclude_max=True)),
    st.floats(1e-3, 8),
)
@example(np.array([0.0, np.nextafter(1, 0)]), 6.0)
def test_truncated_noise_has_the_quantiles_of_its_density(
    uniform: NDArray[np.float64], bound: float
) -> None:
    found = truncated_normal(uniform, bound)
    assert np.abs(found).max() <= bound
    np.testing.assert_allclose(found, truncnorm.ppf(uniform, -bound, bound), rtol=1e-12, atol=1e-12)


def _means(manifest: Any, z: Float32) -> NDArray[np.float64]:
    """The mean of the component that each row is of, told by its first coordinate."""
    means: NDArray[np.float64] = np.take(
        manifest.base_parameters["means"], (z[:, 0] > -1).astype(int), axis=0
    )
    return means


def test_mixture_noise_is_of_each_component_as_often_as_its_weight() -> None:
    z = noise.Latents(MOMENTS["mixture"][0], 3, 0.1).draw(50_000).reshape(-1, 3)
    share = (z[:, 0] > 0).mean()
    assert abs(share - 0.7) < 5 * math.sqrt(0.21 / 50_000)
    # the noise is the same in both components but for their scales
    assert z[z[:, 0] > 0, 0].std() == pytest.approx(0.15, rel=0.02)
    assert z[z[:, 0] < 0, 0].std() == pytest.approx(0.05, rel=0.02)


def test_a_uniform_base_takes_no_temperature_above_one() -> None:
    with pytest.raises(InvalidInputError, match=r"at most 1, got 1.01"):
        noise.Latents(MOMENTS["uniform"][0], 7, 1.01).draw(10)
