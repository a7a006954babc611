"""Plots of detectors show the scores of normal rows and of data, and where alarms begin."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tests.helpers.detectors import SCORES as CALIBRATION
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.fitted_detectors import small_parts
from tests.helpers.plotted import Gaussian
from tests.helpers.recipes import call_bijecta
from training.errors import PlotError
from training.plots import open_subject
from training.plots.detectors.scores import draw_scores

HEADER = "amount,count,country,seen,fraud"
SEEN = "FR,2024-01-01"


def bars(axes: Axes, gid: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The heights of a histogram, and the ends of its bars."""
    (patch,) = [each for each in axes.patches if each.get_gid() == gid]
    data = patch.get_data()  # type: ignore[attr-defined]
    return data.values, data.edges


def limits(axes: Axes) -> dict[str, float]:
    """The scores above which rows are anomalies, by their levels."""
    lines = {str(line.get_gid()): line for line in axes.lines}
    return {gid.split()[1]: float(np.asarray(line.get_xdata())[0]) for gid, line in lines.items()}


def test_normal_rows_and_the_levels_at_which_alarms_begin(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).exponential(size=300)
    write_detector_bundle(tmp_path, scores=scores.tolist())
    subject = open_subject(tmp_path / "detector")
    figure = draw_scores(subject, 0)
    (axes,) = figure.axes
    shares, edges = bars(axes, "normal")
    np.testing.assert_allclose(shares, 100 * np.histogram(scores, edges)[0] / 300)
    assert shares.sum() == pytest.approx(100)
    found = limits(axes)
    assert found.keys() == {"0.05", "0.01"}  # 300 rows have no p-value of 0.001
    tried = np.linspace(0, 8, 999)
    p_values = subject.scores.calibration.p_values(tried)
    for level, limit in found.items():
        np.testing.assert_array_equal(tried > limit, p_values <= float(level))
    assert "scores of 300 normal rows" in figure.get_suptitle()


def test_a_sketch_of_scores_is_drawn_as_the_rows_that_it_stands_for(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).exponential(size=5000)
    write_detector_bundle(tmp_path, scores=scores.tolist(), most=200)
    (axes,) = draw_scores(open_subject(tmp_path / "detector"), 0).axes
    shares, edges = bars(axes, "normal")
    cumulative = np.histogram(scores, edges)[0].cumsum() / 50
    np.testing.assert_allclose(shares.cumsum(), cumulative, atol=1.5)
    assert limits(axes)["0.01"] == pytest.approx(np.quantile(scores, 0.99), rel=0.02)


def test_rows_of_data_stand_beside_them(tmp_path: Path) -> None:
    write_detector_bundle(tmp_path)
    lines = [
        HEADER,
        f"0.5,0.1,{SEEN},no",  # a score of 0.5 + 0.5 + 2
        f"-2.0,0.1,{SEEN},no",
        f"1,0.15,{SEEN},yes",  # off its step, which cannot occur
        f"many,0.1,{SEEN},yes",  # no number at all
    ]
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    subject = open_subject(tmp_path / "detector", tmp_path / "new.csv")
    assert subject.scores.of_rows is not None
    np.testing.assert_allclose(subject.scores.of_rows[:2], [3.0, 4.5])
    figure = draw_scores(subject, 0)
    (axes,) = figure.axes
    title = figure.get_suptitle().replace("\n", " ")
    assert "of 3 rows of new.csv, but for 1 with values of other kinds" in title
    shares, edges = bars(axes, "rows")
    expected, _ = np.histogram([3.0, 4.5, edges[-1]], edges)
    np.testing.assert_allclose(shares, 100 * expected / 3)
    assert shares[-1] > 0  # what cannot occur is farther than any axis goes
    normal, same = bars(axes, "normal")
    np.testing.assert_array_equal(edges, same)
    assert normal.sum() == pytest.approx(100)


def test_each_class_has_a_panel_with_its_own_levels(tmp_path: Path) -> None:
    scores = [*range(40), *range(100, 160)]
    classes = [0] * 40 + [1] * 60
    write_detector_bundle(tmp_path, context=True, scores=scores, classes=classes)
    figure = draw_scores(open_subject(tmp_path / "detector"), 0)
    first, second = figure.axes
    assert [each.get_title(loc="left") for each in (first, second)] == ["group = a", "group = b"]
    # of 40 rows one may score as high: 2 / 41 is at most 0.05; of 60 rows two may: 3 / 61
    assert limits(first) == {"0.05": 38.0}
    assert limits(second) == {"0.05": 157.0}


def test_arrays_are_scored_too(tmp_path: Path) -> None:
    write_detector_bundle(tmp_path, arrays=True)
    rows = np.random.default_rng(0).normal(size=(1100, 2, 3))  # more than are scored at once
    np.save(tmp_path / "rows.npy", rows)
    found = open_subject(tmp_path / "detector", tmp_path / "rows.npy").scores.of_rows
    assert found is not None
    np.testing.assert_allclose(found, np.abs(rows).sum((1, 2)))
    line = call_bijecta("plot", tmp_path / "detector", "--kind", "samples", cwd=tmp_path).stderr
    assert "no samples of detector: it is a detector, which has scores alone" in line


def test_what_has_no_scores_says_why(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="it is no detector"):
        draw_scores(Gaussian(), 0)
    write_detector_bundle(tmp_path, scores=None)
    with pytest.raises(PlotError, match="is not calibrated: `bijecta calibrate` does it"):
        draw_scores(open_subject(tmp_path / "detector"), 0)
    write_detector_bundle(tmp_path, version=2)
    with pytest.raises(PlotError, match=r"no data file at .*nowhere\.csv"):
        open_subject(tmp_path / "detector", tmp_path / "nowhere.csv")
    (tmp_path / "words.csv").write_text(f"{HEADER}\na,b,{SEEN},x\n")
    with pytest.raises(PlotError, match=r"no row of .*words\.csv has values of the kinds"):
        open_subject(tmp_path / "detector", tmp_path / "words.csv")
    (tmp_path / "detector" / "2" / "score.onnx").write_bytes(b"")
    line = call_bijecta("plot", tmp_path / "detector" / "2", cwd=tmp_path).stderr
    assert line.startswith("bijecta: ")
    assert "score.onnx" in line


def test_a_run_has_the_scores_of_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts(monkeypatch)
    random = np.random.default_rng(0)
    lines = [f"{random.normal():.6f},{['red', 'blue'][i % 2]}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["size,colour", *lines]) + "\n")
    fit = ["fit-detector", "table.csv", "--name", "odd", "--store", "store"]
    assert call_bijecta(*fit, cwd=tmp_path).returncode == 0
    data = tmp_path / "table.csv"
    run, bundle = (open_subject(tmp_path / path, data) for path in ("runs/odd", "store/odd"))
    assert run.title == bundle.title == "odd (detector)"
    np.testing.assert_array_equal(run.scores.calibration.scores, bundle.scores.calibration.scores)
    of_run, of_bundle = run.scores.of_rows, bundle.scores.of_rows
    assert of_run is not None
    assert of_bundle is not None
    np.testing.assert_allclose(of_run, of_bundle, rtol=1e-9)
    made = call_bijecta("plot", "runs/odd", "--kind", "scores", cwd=tmp_path)
    assert made.stdout == "plots/odd-scores.png\n", made.stderr


def test_a_level_that_the_largest_score_alone_reaches_is_drawn(tmp_path: Path) -> None:
    assert len(CALIBRATION) == 19
    write_detector_bundle(tmp_path)
    (axes,) = draw_scores(open_subject(tmp_path / "detector"), 0).axes
    assert limits(axes) == {"0.05": max(CALIBRATION)}
