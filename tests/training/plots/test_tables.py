"""Plots of tables show rows beside samples, and bands that a right model stays in."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from service.bundle import BASES
from tests.helpers.plotted import Gaussian, drawn, stored
from tests.stored.files import FORMAT_1
from training.coverage import histogram_counts, uniform_order_statistics
from training.errors import PlotError
from training.plots import Subject, still, styled
from training.plots.tables.base import Base
from training.plots.tables.coverage import draw_coverage
from training.plots.tables.latents import draw_latents
from training.plots.tables.pairs import draw_pairs
from training.plots.tables.pit import draw_pit


@pytest.fixture(scope="module")
def mixed() -> Subject:
    return stored("mixed", FORMAT_1.parent / "format_2" / "mixed.csv")


def test_pairs_show_the_rows_below_the_diagonal_and_samples_above() -> None:
    rows = drawn(200, 1)
    subject = Gaussian(rows, names=["left", "right"])
    figure = draw_pairs(subject, 4)
    diagonal, above, below, _ = figure.axes
    real, made = (np.asarray(each.collections[0].get_offsets()) for each in (below, above))
    np.testing.assert_array_equal(real, rows)
    np.testing.assert_array_equal(made, subject.draw(200, 4)[:, ::-1])
    assert [below.get_xlabel(), below.get_ylabel()] == ["left", "right"]
    # of the same bars, and none of the rows is beyond them
    shares = [patch.get_data().values.sum() for patch in diagonal.patches]  # type: ignore[attr-defined]
    assert shares[0] == pytest.approx(1)
    assert shares[1] == pytest.approx(1, abs=0.06)


def test_names_are_no_formulas_and_may_lack_letters(recwarn: pytest.WarningsRecorder) -> None:
    names = ["$\\frac{", "\N{GRINNING FACE} \N{HANGUL SYLLABLE GA}"]
    with styled():
        assert still(draw_pairs(Gaussian(drawn(30, 1), names=names), 0), "png")
    assert not list(recwarn)


def test_pairs_of_typed_columns_have_classes_dates_and_missing_values(mixed: Subject) -> None:
    figure = draw_pairs(mixed, 0)
    columns = mixed.traits.columns
    assert columns is not None
    k = round(len(figure.axes) ** 0.5)
    for i, column in enumerate(columns[:k]):
        bottom = figure.axes[(k - 1) * k + i]
        texts = [label.get_text() for label in bottom.get_xticklabels()]
        if column.kind == "categorical":
            assert texts[: len(column.classes)] == [str(c)[:10] for c in column.classes]
        missing = np.isnan(mixed.rows.values[:, i]).mean()
        title = figure.axes[i * k + i].get_title(loc="left")
        assert (f"missing {missing:.0%}" in title) == bool(missing)


def test_latents_are_sorted_beside_the_quantiles_of_the_base() -> None:
    rows = drawn(500, 2)
    figure = draw_latents(Gaussian(rows), 0)
    for i, axes in enumerate(figure.axes):
        (line,) = [each for each in axes.lines if each.get_gid() == f"latents {i}"]
        np.testing.assert_array_equal(line.get_ydata(), np.sort((rows[:, i] - 1) / 2))
        x = np.asarray(line.get_xdata())
        assert abs(x[250]) < 0.02
        assert x[-1] == pytest.approx(3.09, abs=0.1)  # the quantile of 1 − 1/1000


@pytest.mark.parametrize("deviation", [1.0, 0.85])
def test_a_right_model_stays_in_the_bands_in_95_of_100_plots(deviation: float) -> None:
    n, bars, plots = 400, 20, 400
    base = Base(Gaussian())
    low, high = uniform_order_statistics(n)
    fewest, most = histogram_counts(n, bars)
    rng = np.random.default_rng(1)
    inside = np.zeros(2)
    for _ in range(plots):
        places = np.sort(base.places(deviation * rng.standard_normal(n), 0))
        counts, _ = np.histogram(places, np.linspace(0, 1, bars + 1))
        inside += [
            ((low <= places) & (places <= high)).all(),
            ((fewest <= counts) & (counts <= most)).all(),
        ]
    if deviation == 1:
        # 3.5 standard errors about 0.95; ties of counts can only widen their band
        assert (inside / plots > 0.91).all(), inside / plots
        assert (inside / plots < 0.995).all(), inside / plots
    else:
        assert (inside / plots < 0.75).all(), inside / plots


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("normal", {}),
        ("logistic", {}),
        ("student-t", {"df": 4.0}),
        ("uniform", {"low": -2.0, "high": 3.0}),
        (
            "mixture",
            {
                "log_weights": [-0.7, -0.7],
                "means": [[-2.0, 0.0], [1.0, 5.0]],
                "log_scales": [[0.0, 0.1], [-1.0, 0.0]],
            },
        ),
    ],
)
def test_places_of_draws_of_any_base_are_uniform(base: str, parameters: dict[str, object]) -> None:
    subject = Gaussian(base=BASES[base], base_parameters=parameters)
    known, z = Base(subject), subject.latents(4000, 3)
    for i in range(2):
        places = np.sort(known.places(z[:, i], i))
        furthest = np.abs(places - (np.arange(4000) + 0.5) / 4000).max()
        assert furthest < 1.63 / 4000**0.5  # Kolmogorov's bound at 1 %
        np.testing.assert_allclose(
            known.places(known.quantiles(places[::500], i), i), places[::500], atol=1e-3
        )


def test_pit_counts_the_places_of_all_rows_and_marks_bars_outside_the_band() -> None:
    rows = drawn(600, 5)
    figure = draw_pit(Gaussian(rows, scale=3.0), 0)  # the model is too broad
    for axes in figure.axes:
        heights = [bar.get_height() for bar in axes.containers[0]]
        assert sum(heights) == 600
        assert heights[0] < 30 < max(heights[8:12])
        colours = {bar.get_facecolor()[:3] for bar in axes.containers[0]}
        assert len(colours) == 2


def test_coverage_ranks_rows_among_draws_and_marks_bars_outside_the_band() -> None:
    figure = draw_coverage(Gaussian(drawn(600, 5), scale=3.0), 0)  # the model is too broad
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["whole rows", "x0", "x1"]
    for axes in figure.axes[1:]:
        heights = [bar.get_height() for bar in axes.containers[0]]
        assert sum(heights) == 600
        assert heights[0] < 30 < max(heights[8:12])
        assert len({bar.get_facecolor()[:3] for bar in axes.containers[0]}) == 2


def test_coverage_of_many_columns_draws_those_that_leave_the_band_and_names_the_others() -> None:
    rows = np.random.default_rng(0).normal(1, 2, (300, 30))
    rows[:, 27] *= 5  # the model is too narrow there
    names = [f"c{i}" for i in range(30)]
    figure = draw_coverage(Gaussian(rows, event_shape=(30,), names=names), 0)
    drawn_ = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(drawn_) == 24
    assert drawn_[0] == "whole rows"
    assert "c27" in drawn_
    said = " ".join(figure.get_supxlabel().split())
    assert said.endswith(f"without a panel: {', '.join(n for n in names if n not in drawn_)}")


@pytest.mark.parametrize("draw", [draw_pit, draw_latents])
def test_latents_without_a_panel_are_named(draw: Callable[[Subject, int], Figure]) -> None:
    rows = np.random.default_rng(0).normal(1, 2, (300, 14))
    said = " ".join(draw(Gaussian(rows, event_shape=(14,)), 0).get_supxlabel().split())
    assert said.endswith("without a panel: z13, z14")


def test_latents_of_whole_numbers_are_those_with_the_noise_of_training() -> None:
    rows = np.random.default_rng(0).integers(-5, 6, (900, 2)).astype(np.float64)
    traits = {"integer": np.array([True, False]), "low": -5.0, "high": 5.0, "names": ["a", "b"]}
    figure = draw_latents(Gaussian(rows, **traits), 0)  # type: ignore[arg-type]
    distinct = [len(np.unique(axes.lines[-1].get_ydata())) for axes in figure.axes]
    assert distinct == [900, 11]


def test_rows_outside_the_support_are_counted() -> None:
    rows = drawn(100, 0)
    subject = Gaussian(rows)
    encode = subject.encode

    def bounded(x, context=None, u=None):  # type: ignore[no-untyped-def]
        z, log_prob = encode(x, context, u)
        z[:3], log_prob[:3] = np.nan, -np.inf
        return z, log_prob

    subject.encode = bounded  # type: ignore[method-assign]
    figure = draw_pit(subject, 0)
    assert "3 rows outside the support are left out" in figure.get_supxlabel()

    subject.encode = lambda x, *_: (x, np.full(len(x), np.nan))  # type: ignore[method-assign]
    with pytest.raises(PlotError, match="row 0 of held-out rows of gauss is no number"):
        draw_pit(subject, 0)


def test_typed_columns_are_encoded_at_random_places_of_their_cells(mixed: Subject) -> None:
    figure = draw_latents(mixed, 0)
    assert figure.axes[0].get_title(loc="left") == mixed.traits.column_names[0]
    columns = mixed.traits.columns
    assert columns is not None
    i = next(i for i, column in enumerate(columns) if column.kind == "categorical")
    values = np.asarray(figure.axes[i].lines[-1].get_ydata())
    assert len(np.unique(values)) == len(values)
