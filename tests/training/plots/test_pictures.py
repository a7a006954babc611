"""Plots of pictures show what the model decodes."""

from typing import get_args

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.bundle import BASES, LatentPath, PathKind
from tests.helpers.plotted import Gaussian, stored
from training.errors import PlotError
from training.plots import Subject
from training.plots.pictures.interpolation import STEPS, draw_interpolation
from training.plots.pictures.reconstruction import draw_reconstruction
from training.plots.pictures.samples import draw_samples
from training.plots.pictures.temperature import TEMPERATURES, draw_temperature

Pictures = NDArray[np.float64]


def digits(n: int = 6) -> Gaussian:
    """A model of pictures of 5 × 5 whole numbers from 0 to 16."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 17, (n, 25)).astype(np.float64)
    integer = np.ones(25, bool)
    return Gaussian(rows, 8.0, 2.0, event_shape=(25,), integer=integer, low=0.0, high=16.0)


def cells(figure: Figure, side: int, columns: int) -> Pictures:
    """The pictures of a sheet: rows × columns × side × side."""
    (image,) = figure.axes[0].images
    sheet = np.asarray(image.get_array())
    rows = (sheet.shape[0] + 1) // (side + 1)
    padded = np.pad(sheet, ((0, 1), (0, 1)), constant_values=1.0)
    assert (padded[side :: side + 1] == 1).all()  # the white between them
    return padded.reshape(rows, side + 1, columns, side + 1).swapaxes(1, 2)[:, :, :side, :side]


def grey(subject: Subject, rows: NDArray[np.float64]) -> Pictures:
    low, high = subject.traits.low, subject.traits.high
    assert low is not None
    assert high is not None
    side = subject.picture_shape[1]
    return np.clip((rows - low) / (high - low), 0, 1).reshape(-1, side, side)


def test_samples_are_those_of_the_seed_with_a_row_of_each_class() -> None:
    subject = stored("maf-digits")
    figure = draw_samples(subject, 5)
    shown = cells(figure, 8, 12)
    context = np.repeat(np.arange(10.0), 12)[:, None]
    expected = subject.decode(subject.latents(120, 5), context)[0]
    np.testing.assert_allclose(shown.reshape(-1, 8, 8), grey(subject, expected), atol=1e-6)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list("0123456789")
    assert axes.get_ylabel() == "digit"


def test_temperatures_shrink_the_same_latents() -> None:
    subject = digits()
    figure = draw_temperature(subject, 1)
    shown = cells(figure, 5, 12)
    z = subject.latents(12, 1)
    for row, temperature in zip(shown, TEMPERATURES, strict=True):
        np.testing.assert_allclose(
            row, grey(subject, subject.decode(temperature * z)[0]), atol=1e-12
        )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{t:g}" for t in TEMPERATURES]


def test_a_uniform_base_has_no_temperature_above_one() -> None:
    box = {"low": -1.0, "high": 1.0}
    subject = Gaussian(event_shape=(1, 5, 5), base=BASES["uniform"], base_parameters=box)
    labels = [t.get_text() for t in draw_temperature(subject, 0).axes[0].get_yticklabels()]
    assert labels == [f"{t:g}" for t in TEMPERATURES if t <= 1]


def test_a_reconstruction_is_the_row_what_comes_back_and_the_difference() -> None:
    subject = digits()
    back = subject.rows.values.copy()
    back[2, 3] += 1.5
    subject.decode = lambda *_: (back, np.zeros(6))  # type: ignore[method-assign]
    shown = cells(draw_reconstruction(subject, 0), 5, 6)
    np.testing.assert_allclose(shown[0], grey(subject, subject.rows.values))
    np.testing.assert_allclose(shown[1], grey(subject, back))
    assert shown[2, 2].ravel()[3] == 1
    assert shown[2].sum() == 1


def test_paths_go_from_one_row_to_another_by_each_kind() -> None:
    subject = digits()
    figure = draw_interpolation(subject, 0)
    shown = cells(figure, 5, STEPS)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["linear", "normalized", "geodesic"] * 2
    rows = grey(subject, subject.rows.values)
    for line in shown:
        assert (np.abs(rows - line[0]).max((1, 2)) < 1e-9).any()
        assert (np.abs(rows - line[-1]).max((1, 2)) < 1e-9).any()
    first = next(i for i, row in enumerate(rows) if np.allclose(row, shown[0, 0]))
    last = next(i for i, row in enumerate(rows) if np.allclose(row, shown[0, -1]))
    start, end = subject.encode(subject.rows.values[[first, last]])[0]
    for line, kind in zip(shown, get_args(PathKind), strict=False):
        path = LatentPath(start, end, STEPS, kind).points(0, STEPS)
        np.testing.assert_allclose(line, grey(subject, subject.decode(path)[0]), atol=1e-9)


def test_paths_are_linear_alone_where_the_base_is_not_spherical() -> None:
    subject = Gaussian(event_shape=(3, 4, 4), base=BASES["logistic"])
    figure = draw_interpolation(subject, 0)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["linear", "linear"]
    assert np.asarray(figure.axes[0].images[0].get_array()).shape[2] == 3  # in colour


@pytest.mark.parametrize(
    ("traits", "shape", "said"),
    [
        ({"event_shape": (25,), "integer": np.ones(25, bool)}, None, (1, 5, 5)),
        ({"event_shape": (25,)}, (5, 5), (1, 5, 5)),
        ({"event_shape": (75,)}, (3, 5, 5), (3, 5, 5)),
        ({"event_shape": (25,)}, None, "no pictures"),
        ({"event_shape": (24,), "integer": np.ones(24, bool)}, None, "no pictures"),
        (
            {"event_shape": (25,), "integer": np.ones(25, bool), "names": list("abc")},
            None,
            "no pic",
        ),
        ({"event_shape": (25,)}, (4, 5), "20 values: rows have 25"),
        ({"event_shape": (2, 5, 5)}, None, "one channel or three"),
    ],
)
def test_which_rows_are_pictures(
    traits: dict[str, object], shape: tuple[int, ...] | None, said: tuple[int, ...] | str
) -> None:
    subject = Gaussian(**traits)  # type: ignore[arg-type]
    subject._picture_shape = shape
    if isinstance(said, str):
        with pytest.raises(PlotError, match=said):
            _ = subject.picture_shape
    else:
        assert subject.picture_shape == said
