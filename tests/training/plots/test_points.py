"""Plots of flows of two numbers show the points and the density of the model."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tests.helpers.plotted import Gaussian, drawn
from tests.stored.files import unpack
from training.data import DENSITIES
from training.plots import open_subject
from training.plots.points import density
from training.plots.points.density import draw_density
from training.plots.points.layers import POINTS, animate_layers, draw_layers
from training.plots.points.truths import TRUTHS

Points = NDArray[np.float64]


def points_in(figure: Figure, panel: int = 0) -> Points:
    (scatter,) = [c for c in figure.axes[panel].collections if isinstance(c, PathCollection)]
    return np.asarray(scatter.get_offsets())


def test_layers_go_from_the_latents_of_the_seed_to_the_models_samples(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    subject = open_subject(unpack("planar", tmp_path_factory.mktemp("planar")))
    z = subject.latents(POINTS, 3)
    samples = subject.decode(z)[0]
    figure = draw_layers(subject, 3)
    # Standardize and three planar layers, one of which has learned nothing that can be seen
    assert 3 <= len(figure.axes) <= 5
    np.testing.assert_allclose(points_in(figure), z)
    np.testing.assert_allclose(points_in(figure, -1), samples, rtol=1e-5, atol=1e-5)
    assert [figure.axes[-1].get_xlabel(), figure.axes[-1].get_ylabel()] == ["x", "y"]

    moving = animate_layers(subject, 3)
    there = moving.milliseconds.index(1500, 1)  # where the points have come
    moving.show(there)
    np.testing.assert_allclose(points_in(moving.figure), samples, rtol=1e-5, atol=1e-5)
    moving.show(len(moving.milliseconds) - 1)  # and the rows have gone back
    rows = subject.rows.values
    np.testing.assert_allclose(
        points_in(moving.figure), subject.encode(rows)[0], rtol=1e-4, atol=1e-4
    )


def test_a_bundle_with_layers_has_the_stages_of_its_run(runs: Path, store: Path) -> None:
    of_run = open_subject(runs / "moons-maf")
    of_bundle = open_subject(store / "moons-maf" / "1")
    z, x = of_run.latents(50, 3), of_run.rows.values[:50]
    for expected, found in (
        (of_run.decode_by_layers(z, None), of_bundle.decode_by_layers(z, None)),
        (of_run.encode_by_layers(x, None), of_bundle.encode_by_layers(x, None)),
    ):
        assert [stage.layer for stage in found] == [stage.layer for stage in expected]
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other.points, one.points, rtol=1e-4, atol=1e-4)
    drawn, again = draw_layers(of_bundle, 3), draw_layers(of_run, 3)
    np.testing.assert_allclose(points_in(drawn, -1), points_in(again, -1), rtol=1e-4, atol=1e-4)


def test_points_move_between_the_stages_and_the_grid_with_them() -> None:
    subject = Gaussian()
    moving = animate_layers(subject, 0)
    moving.show(0)
    (grid,) = [c for c in moving.figure.axes[0].collections if isinstance(c, LineCollection)]
    latents, lines = points_in(moving.figure), np.array(grid.get_segments())
    moving.show(moving.milliseconds.index(1500, 1))
    (grid,) = [c for c in moving.figure.axes[0].collections if isinstance(c, LineCollection)]
    np.testing.assert_allclose(points_in(moving.figure), 1 + 2 * latents)
    np.testing.assert_allclose(np.array(grid.get_segments()), 1 + 2 * lines)
    # halfway to the scaled points, which are the next that stand still
    rests = moving.milliseconds.index(350)
    assert rests % 2 == 0
    moving.show(rests // 2)
    np.testing.assert_allclose(points_in(moving.figure), 1.5 * latents)


def test_a_layer_that_does_nothing_is_left_out() -> None:
    subject = Gaussian(mean=0.0)
    figure = draw_layers(subject, 0)
    assert len(figure.axes) == 2
    np.testing.assert_allclose(points_in(figure, 1), 2 * points_in(figure))


def test_the_density_is_that_of_the_model_and_its_level_sets_enclose_their_mass() -> None:
    rows = drawn(300, 1)
    figure = draw_density(Gaussian(rows), 0)
    left, right = figure.axes[0], figure.axes[1]
    (image,) = left.images
    height = np.asarray(image.get_array(), np.float64)
    x0, x1, y0, y1 = image.get_extent()
    cell = (x1 - x0) * (y1 - y0) / height.size
    assert height.sum() * cell == pytest.approx(1, abs=0.02)
    middle = Gaussian().encode(np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]))[1]
    assert height[density.SIDE // 2, density.SIDE // 2] == pytest.approx(
        math.exp(middle[0]), rel=0.05
    )
    # P(r > s) = exp(−s²/2): a level encloses the mass m where its height is 1 − m of the largest
    peak = 1 / (2 * math.pi * 4)
    levels = sorted(peak * (1 - mass) for mass in density.MASSES)
    (contours,) = [c for c in left.collections if isinstance(c, ContourSet)]
    np.testing.assert_allclose(
        np.asarray(contours.levels), np.array(levels), rtol=0.1, atol=peak * 0.01
    )
    np.testing.assert_array_equal(points_in(figure, 1), rows)
    assert "held-out" in right.get_title(loc="left")


def test_the_density_stands_beside_the_truth_where_that_is_known() -> None:
    figure = draw_density(Gaussian(data_name="eight_gaussians"), 0)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["model", "truth"]
    model, truth = (axes.images[0] for axes in figure.axes[:2])
    assert model.get_clim() == truth.get_clim()
    assert np.asarray(truth.get_array()).max() == pytest.approx(
        1 / (8 * 2 * math.pi * 0.04), rel=0.1
    )


@pytest.mark.parametrize("name", TRUTHS)
def test_truths_are_densities_of_the_rows_that_toys_draw(name: str) -> None:
    side, cells = 4.0, 160
    axis = side * (2 * (np.arange(cells) + 0.5) / cells - 1)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_density = TRUTHS[name](grid)
    mass = np.exp(log_density) * (2 * side / cells) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    scores = TRUTHS[name](DENSITIES[name](4000, 7))
    expected = float((mass * np.where(mass > 0, log_density, 0)).sum())
    assert abs(scores.mean() - expected) < 4 * scores.std() / 4000**0.5 + 2e-3
